"""`konsil init`: keys, passwords and certificates of the container stack. `konsil component` is for them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from konsil.stack.wishes import Wish


def register(app: typer.Typer) -> None:
    """Add both verbs."""

    @app.command(epilog="Example: konsil init all-in-one --sites A,B,C")
    def init(
        profile: str = typer.Argument(help="centre, site, or all-in-one for a trial on one machine."),
        sites: str = typer.Option(..., "--sites", help="Names of the sites, such as A,B,C; of a site its own."),
        host: str = typer.Option(
            "", "--host", help="Name under which people reach this machine; localhost if not set."
        ),
        folder: Path = typer.Option(Path("konsil-stack"), "--dir", help="Folder for what is made."),
        worker: str = typer.Option(
            "", "--worker", help="Image that does the work, by digest: approvals and reviews hold for it alone."
        ),
    ) -> None:
        """Make the secrets of the container stack, and print the logins once. Again with more sites: add these."""
        from konsil.cli.stack import names
        from konsil.stack.secrets import make
        from konsil.stack.wishes import Wish, standing

        before = standing(folder)
        logins = make(Wish(profile, host, tuple(names(sites)), worker), folder)
        for place, accounts in logins.items():
            for account, password in accounts.items():
                typer.echo(f"{place:10} {account:10} {password}")
        if logins:
            typer.echo("These logins are not shown again.", err=True)
        after = standing(folder)
        if before:
            report(before, after or before)
        chosen = " ".join(f"--profile {name}" for name in after.profiles) if after else ""
        typer.echo("Start with:", err=True)
        typer.echo(f"docker-compose --env-file {folder}/stack.env {chosen} up --detach", err=True)

    @app.command(hidden=True, epilog="Example: konsil component scheduler")
    def component(
        name: str = typer.Argument(help="api-server, scheduler, dag-processor, triggerer, worker or task."),
        arguments: list[str] | None = typer.Argument(None, help="Of task: the command line, after --."),
    ) -> None:
        """Run one Airflow component of a place; the entry of the stack's containers."""
        from konsil.stack.container import become

        become(name, arguments=arguments or ())


def report(before: Wish, after: Wish) -> None:
    """Say what a second run kept and what it added."""
    new = [site for site in after.sites if site not in before.sites]
    typer.echo(f"Kept as they were: {', '.join(before.sites) or 'no site'}.", err=True)
    typer.echo(f"Added: {', '.join(new) or 'no site'}.", err=True)
    if new and after.profile != "site":
        typer.echo("The store reads its users at its start: docker-compose … restart minio", err=True)
