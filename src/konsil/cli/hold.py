"""`konsil hold` and `konsil go-on`: a site pauses its part in a federation, and goes on."""

from __future__ import annotations

import typer

from konsil.settings import Settings

RUN = typer.Argument(..., help="Name of the run.")
BY = typer.Option("", "--by", help="Who decided; stays at this site.")


def hold(run: str = RUN, why: str = typer.Option("", "--why", help="The reason, one line."), by: str = BY) -> None:
    """Pause this site's part: what is under way is finished, nothing new is begun, until `konsil go-on`.

    The others are not told: they see a silent site, wait for it as the charter says, and go on without it.

    Example: konsil hold ms-lesions-2026 --why "the GPU is needed until Monday"
    """
    from konsil.parties.steering import hold as pause

    pause(Settings().home, run, why=why, by=by)
    typer.echo(f"{run}: this site has paused its part", err=True)


def go_on(run: str = RUN, by: str = BY) -> None:
    """End this site's pause; it works on the newest global model from now on.

    Example: konsil go-on ms-lesions-2026
    """
    from konsil.parties.steering import go_on as end

    end(Settings().home, run, by=by)
    typer.echo(f"{run}: this site goes on", err=True)


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(hold)
    app.command("go-on")(go_on)
