"""`konsil roles`: the roles of docs/airflow.md in an Airflow whose login is FAB's."""

from __future__ import annotations

import typer

from konsil.errors import BadSetting
from konsil.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(roles)


def roles() -> None:
    """Make the roles of staff, reviewer, custodian and operator in an Airflow with FAB's login, or put them right.

    The account of KONSIL_AIRFLOW_URL, _USER and _PASSWORD has to be an Admin there, and the DAGs have to be known.

    Example: konsil roles
    """
    from konsil.stack.people import make_roles, signed_in

    settings = Settings()
    if not settings.airflow_url or settings.airflow_password is None:
        raise BadSetting("the Airflow is not named", expected="KONSIL_AIRFLOW_URL, _USER (an Admin), _PASSWORD")
    password = settings.airflow_password.get_secret_value()
    with signed_in(settings.airflow_url, settings.airflow_user, password) as airflow:
        for name in make_roles(airflow):
            typer.echo(f"{name}: as docs/airflow.md says")
