"""Whom a place's Airflow lets in: its SimpleAuthManager, or FAB's accounts and roles where `airflow.cfg` names FAB.

With FAB the first account, `admin`, is made on this machine by Airflow's own command, which reads the password from
its input, so that no list of processes shows it; roles and the other accounts follow over the REST API. A hospital
makes its first account by hand and the roles with `konsil roles` (docs/airflow.md).
"""

from __future__ import annotations

import configparser
import subprocess
import sys
from collections.abc import Mapping

from konsil.errors import Unavailable
from konsil.stack.accounts import passwords
from konsil.stack.people import ADMIN, make_accounts, make_roles, signed_in
from konsil.stack.places import Place

SIMPLE = "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"
FAB = "plugins.login.NamedFabAuthManager"


def is_fab(place: Place) -> bool:
    """Whether `airflow.cfg` of this place names FAB."""
    found = configparser.ConfigParser(interpolation=None)
    found.read(place.airflow_home / "airflow.cfg")
    return "FabAuthManager" in found.get("core", "auth_manager", fallback=SIMPLE)


def make_admin(place: Place, env: Mapping[str, str]) -> None:
    """The account that makes all others; one that is there stays. Unavailable with Airflow's words if it fails."""
    word = passwords(place)["admin"]
    who = ["--username", "admin", "--role", ADMIN, "--firstname", "Admin", "--lastname", "Konsil"]
    command = [sys.executable, "-m", "airflow", "users", "create", *who, "--email", "admin@localhost"]
    end = subprocess.run(
        command, input=f"{word}\n{word}\n", env=dict(env), capture_output=True, text=True, check=False, umask=0o077,
        start_new_session=True,  # without a terminal the password is read from the input
    )  # fmt: skip
    if end.returncode:
        last = " | ".join(end.stderr.strip().splitlines()[-3:])
        raise Unavailable(f"the first account of {place.name} could not be made", got=last.replace(word, "…"))


def let_people_in(place: Place) -> None:
    """Roles as `konsil.stack.roles` says, and an account for each person of the place."""
    words = passwords(place)
    with signed_in(place.url, "admin", words["admin"]) as airflow:
        make_roles(airflow)
        make_accounts(airflow, words)
