"""`konsil stack`: the local Airflow instances and S3 server of a demo or a developer's machine."""

from __future__ import annotations

import time
from pathlib import Path

import typer

stack = typer.Typer(help="Local Airflow instances and an S3 server: up, status, logs, down.", no_args_is_help=True)

DIR = typer.Option(Path("build/stack"), "--dir", help="Folder of the stack.")
ONLY = typer.Option("", "--only", help="Only these places, such as A or centre,B.")


def register(app: typer.Typer) -> None:
    """Add the verb family."""
    app.add_typer(stack, name="stack")


def names(text: str) -> list[str]:
    """`"A, B"` as a list."""
    return [name.strip() for name in text.split(",") if name.strip()]


@stack.command()
def up(
    folder: Path = DIR,
    sites: str = typer.Option("A,B,C", "--sites", help="Names of the sites of a new stack."),
    only: str = ONLY,
    base_port: int = typer.Option(0, "--base-port", min=0, max=65000, help="First port; 0 takes free ones."),
) -> None:
    """Start the centre, the sites and the S3 server; what runs already is left alone.

    Example: konsil stack up --dir build/stack --sites A,B
    """
    from konsil.stack import supervisor
    from konsil.stack.places import make_plan, read_plan

    begun = time.monotonic()
    known = (folder / "stack.json").exists()
    plan = read_plan(folder) if known and only else make_plan(folder, names(sites), base_port=base_port)

    def say(text: str) -> None:
        typer.echo(f"{time.monotonic() - begun:5.0f} s  {text}", err=True)

    supervisor.up(plan, say=say, only=names(only))
    status(folder)


@stack.command()
def status(folder: Path = DIR) -> None:
    """Say where each instance is, how it is, and how to log in (research demo: passwords are printed)."""
    from konsil.stack import supervisor
    from konsil.stack.accounts import passwords
    from konsil.stack.places import read_plan

    plan = read_plan(folder)
    for state in supervisor.states(plan):
        typer.echo(f"{state.place.name:8} {state.place.url}   {state.sentence}")
        for account, password in passwords(state.place).items():
            typer.echo(f"         {account:10} {password}")
    runs = "runs" if supervisor.running(plan)["bucket"] else "does not run"
    typer.echo(f"bucket   S3 server on port {plan.s3_port} {runs}")


@stack.command()
def logs(
    folder: Path = DIR,
    only: str = ONLY,
    lines: int = typer.Option(20, "--lines", "-n", min=1, help="Lines of each log."),
) -> None:
    """Print the end of the logs of the components."""
    from konsil.stack.places import read_plan

    plan = read_plan(folder)
    wanted = {place.name for place in plan.only(names(only))} | (set() if only else {"bucket"})
    for log in sorted((plan.folder / "logs").glob("*.log")):
        if log.name.split(".")[0] in wanted:
            typer.echo(f"== {log.name}")
            for line in log.read_text(errors="replace").splitlines()[-lines:]:
                typer.echo(line)


@stack.command()
def down(
    folder: Path = DIR,
    only: str = ONLY,
    now: bool = typer.Option(False, "--now", help="Kill at once, as a power failure would."),
) -> None:
    """Stop the instances (all, or those named) and make sure that no process is left.

    Example: konsil stack down --only A --now
    """
    from konsil.stack import supervisor
    from konsil.stack.places import read_plan

    plan = read_plan(folder)
    grace_s = 0.0 if now else 12.0
    supervisor.down(plan, say=lambda text: typer.echo(text, err=True), only=names(only), grace_s=grace_s)
