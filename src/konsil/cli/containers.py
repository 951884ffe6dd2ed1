"""`konsil containers`: backup, restore, upgrade and removal of the stack of docker-compose.yaml."""

from __future__ import annotations

from pathlib import Path

import typer

verbs = typer.Typer(no_args_is_help=True, help="Keep a stack of containers: backup, restore, upgrade, uninstall.")
DIR = typer.Option(Path("konsil-stack"), "--dir", help="Folder that konsil init made.")
HOME = typer.Option("", "--home", metavar="SLOT", help="One place's home alone, such as a or centre.")


def register(app: typer.Typer) -> None:
    """Add the verb family."""
    app.add_typer(verbs, name="containers")


def say(text: str) -> None:
    """A line of progress."""
    typer.echo(text, err=True)


@verbs.command()
def backup(
    out: Path = typer.Argument(..., help="New folder; with --home a new file."),
    folder: Path = DIR,
    home: str = HOME,
    leave_stopped: bool = typer.Option(False, "--leave-stopped", help="Do not start again: it goes on elsewhere."),
) -> None:
    """Copy the whole stack (it stops for that long, and federations wait), or with --home a home while it works.

    What is written holds private keys and images of patients: keep it as you keep those (docs/upkeep.md).

    Example: konsil containers backup /media/backup/site-2026-11-27
    """
    from konsil.stack.engine import Stack
    from konsil.stack.keeping import backup_home, backup_stack

    stack = Stack.at(folder)
    if home:
        typer.echo(f"{backup_home(stack, home, out) / 1e6:.1f} MB, in {out}")
        return
    told = backup_stack(stack, out, leave_stopped=leave_stopped, say=say)
    typer.echo(f"{len(told['files']) - 1} volumes and the folder of the stack, in {out}")


@verbs.command()
def restore(
    source: Path = typer.Argument(..., help="What konsil containers backup wrote."),
    folder: Path = DIR,
    home: str = HOME,
    project: str = typer.Option("", "--project", help="Name of the compose project, if another one than before."),
) -> None:
    """Make a stack anew in a new folder; with --home fill a place that has no volume yet. Starts nothing.

    Stop the old one first: two sites with the same keys contradict each other (docs/upkeep.md).

    Example: konsil containers restore /media/backup/site-2026-11-27
    """
    from konsil.stack.engine import Stack
    from konsil.stack.restoring import restore_home, restore_stack

    if home:
        stack = Stack.at(folder)
        restore_home(stack, home, source)
    else:
        stack = restore_stack(source, folder, project=project, say=say)
    chosen = " ".join(f"--profile {name}" for name in stack.wish.profiles)
    typer.echo("Start with:", err=True)
    typer.echo(f"docker-compose --env-file {folder}/stack.env {chosen} up --detach", err=True)


@verbs.command()
def upgrade(
    folder: Path = DIR,
    worker: str = typer.Option("", "--worker", help="New image that does the work; needed where stack.env names one."),
    file: list[Path] = typer.Option([Path("docker-compose.yaml")], "--file", help="Compose file; can be repeated."),
) -> None:
    """Let the stack run the images that were built or pulled meanwhile, and wait until all of it is healthy.

    Back up first: a newer database is not read by older images.

    Example: konsil containers upgrade --worker konsil/worker
    """
    from konsil.stack.engine import Stack
    from konsil.stack.upgrading import upgrade as bring_up

    made = bring_up(Stack.at(folder), file, worker=worker, say=say)
    typer.echo(f"Healthy. Made anew: {', '.join(made) or 'nothing'}.")
    if worker:
        say("Approvals and reviews hold for one image: custodians are asked again where it changed.")


@verbs.command()
def uninstall(
    folder: Path = DIR, yes: bool = typer.Option(False, "--yes", help="Do not ask whether this is meant.")
) -> None:
    """Take away containers, networks, volumes and the folder of a stack: cohorts, models and keys are gone for good.

    Example: konsil containers uninstall --dir konsil-stack
    """
    from konsil.stack.engine import Stack
    from konsil.stack.removal import uninstall as take_away

    stack = Stack.at(folder)
    what = f"the project {stack.project}: {', '.join(stack.volumes()) or 'no volume'}, and {stack.folder}"
    if not yes:
        typer.confirm(f"Delete {what}?", abort=True)
    found = take_away(stack)
    counted = ", ".join(f"{number} {name}" for name, number in found.items())
    typer.echo(f"Gone: {counted}, and the folder. Images stay: docker image ls 'konsil/*'")
