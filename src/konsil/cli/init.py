"""`konsil init`: keys, passwords and certificates of the container stack, once. `konsil component` is for them."""

from __future__ import annotations

from pathlib import Path

import typer


def register(app: typer.Typer) -> None:
    """Add both verbs."""

    @app.command(epilog="Example: konsil init all-in-one --sites A,B,C")
    def init(
        profile: str = typer.Argument(help="centre, site, or all-in-one for a trial on one machine."),
        sites: str = typer.Option(..., "--sites", help="Names of the sites, such as A,B,C; of a site its own."),
        host: str = typer.Option("localhost", "--host", help="Name under which people reach this machine."),
        folder: Path = typer.Option(Path("konsil-stack"), "--dir", help="New folder for what is made."),
    ) -> None:
        """Make the secrets of the container stack in a new folder, and print the logins once."""
        from konsil.cli.stack import names
        from konsil.stack.secrets import Wish, make

        logins = make(Wish(profile, host, tuple(names(sites))), folder)
        for place, accounts in logins.items():
            for account, password in accounts.items():
                typer.echo(f"{place:10} {account:10} {password}")
        typer.echo("These logins are not shown again. Start with:", err=True)
        typer.echo(f"docker-compose --env-file {folder}/stack.env --profile {profile} up --detach", err=True)

    @app.command(hidden=True, epilog="Example: konsil component scheduler")
    def component(
        name: str = typer.Argument(help="api-server, scheduler, dag-processor or triggerer."),
    ) -> None:
        """Run one Airflow component of a place; the entry of the stack's containers."""
        from konsil.stack.container import become

        become(name)
