"""`konsil demo`: three hospitals and a centre on this machine, from DICOM to a federated model."""

from __future__ import annotations

import signal
from pathlib import Path

import typer

demo = typer.Typer(help="The whole path on this machine: run, stop.", no_args_is_help=True)

DIR = typer.Option(Path("build/demo"), "--dir", help="Folder of the demo; its old content is removed.")


def register(app: typer.Typer) -> None:
    """Add the verb family."""
    app.add_typer(demo, name="demo")


@demo.command()
def run(
    folder: Path = DIR,
    keep: bool = typer.Option(False, "--keep", help="Leave everything running and print addresses and logins."),
) -> None:
    """Make three synthetic hospitals, prepare their cohorts, train together, and show the reports.

    Example: konsil demo run --keep
    """
    from konsil.demo.plan import DemoPlan
    from konsil.demo.run import run as run_demo
    from konsil.demo.voice import Voice

    for ending in (signal.SIGINT, signal.SIGTERM):  # whoever ends the demo ends all of it, also in the background
        signal.signal(ending, signal.default_int_handler)
    with Voice() as voice:
        try:
            run_demo(DemoPlan(folder.resolve()), voice, keep=keep)
        except KeyboardInterrupt:
            voice.say("interrupted; nothing is left running. The next demo starts afresh.")
            raise typer.Exit(130) from None


@demo.command()
def stop(folder: Path = DIR) -> None:
    """End a demo that was left running; its reports stay."""
    from konsil.demo.plan import DemoPlan
    from konsil.demo.run import stop as stop_demo
    from konsil.demo.voice import Voice

    stop_demo(DemoPlan(folder.resolve()), Voice())
