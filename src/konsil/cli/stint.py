"""What `run` and `take-part` share: one stint of a party, shown as a bar on a terminal and as plain lines in a log."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from konsil.cli.bar import bars
from konsil.cli.door import deliver, speak
from konsil.federation.steps import Phase, Step, Wait
from konsil.progress import Lines, heard
from konsil.settings import Settings

if TYPE_CHECKING:
    from konsil.parties.party import Party


UNTIL = typer.Option(None, "--until", help="End when this phase is behind us.")
PATIENCE = typer.Option(None, "--patience", min=0, help="Seconds to wait warm for the others (KONSIL_PATIENCE_S).")


def stint(
    party: Party, settings: Settings, *, until: Phase | None, patience: float | None, result: Path | None
) -> None:
    """Go on with `party`; the result file gets state, sentence, round and phase. Exit code 1 if the run is aborted."""
    from konsil.parties.loop import go_on
    from konsil.parties.sinks import sinks_of

    speak()
    party.sink = sinks_of(settings, party.run, party.mailbox.me, party.ledger.folder)
    with shown(party) as show:
        ending = go_on(
            party,
            until=until,
            patience_s=settings.patience_s if patience is None else patience,
            poll_s=settings.poll_s,
            show=show,
        )
    refused = refusals_at(party)
    deliver(ending.as_json() | ({"refusals": refused} if refused else {}), result)
    for site, why in refused.items():
        typer.echo(f"{site} does not take part: {why}", err=True)
    typer.echo(f"{ending.state}: {ending.sentence}", err=True)
    raise typer.Exit(1 if ending.state == "aborted" else 0)


def refusals_at(party: Party) -> dict[str, str]:
    """At the centre: the sites that refused, each with its reason."""
    from konsil.parties.answers import refusals
    from konsil.trust.roster import CENTRE

    charter = party.charter() if party.mailbox.me == CENTRE else None
    return {} if charter is None else refusals(party.mailbox, charter.sites)


@contextmanager
def shown(party: Party) -> Iterator[Callable[[Step], None]]:
    """Bars on a terminal; in a log, a line of the training now and then, and one when what is waited for changes."""
    if sys.stderr.isatty():
        with bars(lambda: party.course) as bar:
            yield bar
        return
    said: list[str] = []

    def line(step: Step) -> None:
        if isinstance(step, Wait) and said[-1:] != [step.why]:
            said.append(step.why)
            typer.echo(f"waiting {step.why}", err=True)

    with heard(Lines()):
        yield line
