"""The entrance: every module beside this one that has `register(app)` adds its verbs.

Verb modules import nothing heavy at their top, so that `konsil --help` answers at once and works without the extras.
A `KonsilError` ends as one sentence on stderr, never as a traceback, with exit code 1; where trying again may help (a
server or the machine failed) with that of the setting `try_later`: by it Airflow's tasks tell the two apart.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys

import typer

from konsil import __version__, cli
from konsil.errors import BadSetting, Fault, KonsilError, Unavailable
from konsil.files import is_full

app = typer.Typer(
    name="konsil",
    help="Hospitals prepare brain MRI and train models together; no image and no identifier leaves a site.",
    epilog="Research use only, not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def entrance(version: bool = typer.Option(False, "--version", help="Print the version and end.")) -> None:
    """Options that come before the verb."""
    if version:
        typer.echo(f"konsil {__version__}")
        raise typer.Exit


def assemble() -> typer.Typer:
    """Register every verb, in the order of the module names."""
    if app.registered_commands:
        return app
    for module in sorted(pkgutil.iter_modules(cli.__path__), key=lambda found: found.name):
        register = getattr(importlib.import_module(f"konsil.cli.{module.name}"), "register", None)
        if register is not None:
            register(app)
    return app


def main() -> None:
    """Run the command line; the exit code is the process's."""
    try:
        assemble()()
    except KonsilError as error:
        typer.echo(f"konsil: {error.sentence}", err=True)
        sys.exit(later() if isinstance(error, Unavailable) else 1)
    except ModuleNotFoundError as error:
        typer.echo(f"konsil: {missing_extra(error)}", err=True)
        sys.exit(1)
    except OSError as error:
        typer.echo(f"konsil: {of_the_machine(error)}", err=True)
        sys.exit(later())
    except Exception as error:  # noqa: BLE001 - the text of a traceback may repeat what a header says of a patient
        typer.echo(f"konsil: {Fault.of(error).sentence}", err=True)
        sys.exit(1)


def later() -> int:
    """The exit code where trying again may help; 1 if a setting is not usable either."""
    from konsil.settings import Settings

    try:
        return Settings().try_later
    except BadSetting:
        return 1


def missing_extra(error: ModuleNotFoundError) -> str:
    """Say which extra brings the module that this verb lacks."""
    extras = {"torch": "nnunet", "nnunetv2": "nnunet", "airflow": "airflow", "psutil": "stack"}
    extra = extras.get((error.name or "").split(".")[0], "imaging")
    hint = f"Install it with: pip install 'konsil[{extra}]'."
    return f"this verb needs the module {error.name}, which is not installed. {hint}"


def of_the_machine(error: OSError) -> str:
    """Say what disk or network refused; file names are left out, since an inbox may name patients."""
    if is_full(error):
        return "the disk is full or its quota reached. Free some space and run the same command again: it continues."
    reason = error.strerror or type(error).__name__
    return f"the machine refused: {reason}. Check the folder's permissions and the disk, then run the command again."
