"""What all verbs share: plain progress lines, sentences for cases set aside, the result file, the exit code."""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path

import typer
from rich.console import Console
from rich.logging import RichHandler

from konsil.files import write_json
from konsil.types import Json, Outcome

RESULT = typer.Option(None, "--result", help="Also write the result to this JSON file.")


def speak() -> None:
    """Show the library's progress: coloured on a terminal, plain lines in a log. pydicom's remarks repeat values."""
    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
    warnings.filterwarnings("ignore", module=r"pydicom\b")
    if sys.stderr.isatty():
        handler: logging.Handler = RichHandler(console=Console(stderr=True), show_path=False)
        logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler])
    else:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")


def deliver(result: Json, path: Path | None) -> None:
    """Write what a verb found out to the file named by `--result`, if one was."""
    if path is not None:
        write_json(path, result)


def leave(outcome: Outcome, *, result: Path | None = None, unit: str = "cases") -> None:
    """End a batch verb: one sentence per case set aside on stderr, the result file, exit code 0, 2 or 1."""
    for name, reason in sorted(outcome.set_aside.items()):
        typer.echo(f"set aside {name}: {reason}", err=True)
    typer.echo(f"{len(outcome.done)} {unit} came through, {len(outcome.set_aside)} set aside.", err=True)
    deliver(outcome.as_json(), result)
    raise typer.Exit(outcome.exit_code)
