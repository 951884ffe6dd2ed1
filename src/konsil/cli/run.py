"""`konsil run`: the centre's side of a federation."""

from __future__ import annotations

from pathlib import Path

import typer

from konsil.cli.door import RESULT
from konsil.cli.stint import PATIENCE, UNTIL, stint
from konsil.errors import BadInput
from konsil.federation.steps import Phase
from konsil.settings import Settings


def run(
    charter: Path | None = typer.Argument(None, help="Charter (JSON) of a new run; see docs/formats/charter.md."),
    resume: str | None = typer.Option(None, "--resume", help="Go on with the run of this name."),
    start: Path | None = typer.Option(None, "--start", help="Folder of the model that the charter starts from."),
    until: Phase | None = UNTIL,
    patience: float | None = PATIENCE,
    result: Path | None = RESULT,
) -> None:
    """Run a federation from the centre: publish the charter, gather, average, release.

    Can be stopped and started again at any time; starting it with the same charter goes on too. With --until it ends
    when that phase is behind us, with --patience when nothing arrived for so many seconds.

    Example: konsil run charter.json --until recipe; konsil run --resume ms-lesions-2026
    """
    from konsil.federation.charter import read_charter
    from konsil.parties.ledger import Ledger
    from konsil.parties.opening import learner_at, open_centre
    from konsil.parties.start import keep_given
    from konsil.parties.workflows import with_documents

    if (charter is None) == (resume is None):
        raise BadInput("It is not clear which run is meant", expected="either CHARTER.json or --resume RUN")
    settings = Settings()
    if charter is not None:
        read = read_charter(charter)
        name = read.run
        party = open_centre(settings.home, name)
        learner_at(settings.home)(read)  # refuses settings here that would otherwise fail at every site
        if not party.ledger.has_charter:
            with_documents(read, settings.home)  # refuses a workflow that nobody may be offered
        if start is not None:
            keep_given(start, party.ledger.folder)
        party.ledger.keep_charter(read)
    else:
        name = str(resume)
        Ledger(settings.home, name).charter()
        party = open_centre(settings.home, name)
    stint(party, settings, until=until, patience=patience, result=result)


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(run)
