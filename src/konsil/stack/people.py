"""People and roles in an Airflow whose login is FAB's, over its REST API (`/auth/fab/v1`).

    with signed_in(url, "admin", password) as airflow:
        made = make_roles(airflow)

Doing it again puts a role back to what `konsil.stack.roles` says, also where somebody changed it, and leaves accounts
that are there as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import requests

from konsil.errors import Missing, Refused, Unavailable
from konsil.stack.roles import ROLES, as_body
from konsil.types import Json

ADMIN = "Admin"
TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Airflow:
    """One Airflow and a session that is logged in."""

    url: str
    session: requests.Session

    def send(self, method: str, path: str, content: Json | None = None) -> requests.Response:
        """One request; Unavailable where nobody answers, Refused where the account may not."""
        try:
            answer = self.session.request(method, f"{self.url}/{path}", json=content, timeout=TIMEOUT_S)
        except requests.RequestException as error:
            raise Unavailable(f"Airflow at {self.url} does not answer", got=type(error).__name__) from error
        if answer.status_code in (401, 403):
            raise Refused("this account may not change roles and accounts", hint="Log in as an Admin of this Airflow")
        return answer

    def done(self, method: str, path: str, content: Json | None = None) -> Json:
        """The answer to a request that has to succeed."""
        answer = self.send(method, path, content)
        if answer.status_code >= 500:
            raise Unavailable(f"Airflow answered {answer.status_code}", hint="Trying again may help")
        if not answer.ok:
            raise Refused("Airflow does not accept this", got=f"{answer.status_code} for {path.split('?')[0]}")
        return dict(answer.json())


@contextmanager
def signed_in(url: str, username: str, password: str) -> Iterator[Airflow]:
    """An Airflow as an account sees it. Refused for a wrong password, Unavailable where nobody answers."""
    with requests.Session() as session:
        airflow = Airflow(url.rstrip("/"), session)
        try:
            answer = session.post(
                f"{airflow.url}/auth/token", json={"username": username, "password": password}, timeout=TIMEOUT_S
            )
        except requests.RequestException as error:
            raise Unavailable(f"Airflow at {airflow.url} does not answer", got=type(error).__name__) from error
        if not answer.ok:
            raise Refused(f"Airflow does not accept the password of {username}", got=str(answer.status_code))
        session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        yield airflow


def make_roles(airflow: Airflow) -> list[str]:
    """Make every role of ours, or put it right; gives their names. Missing where the login is not FAB's."""
    if airflow.send("GET", "auth/fab/v1/roles?limit=1").status_code == 404:
        raise Missing(
            "this Airflow has no roles to make", expected="the FAB auth manager",
            hint="Set core.auth_manager to plugins.login.NamedFabAuthManager (docs/airflow.md)",
        )  # fmt: skip
    dag_ids = {str(dag["dag_id"]) for dag in airflow.done("GET", "api/v2/dags?limit=100")["dags"]}
    for who, name in ROLES.items():
        known = airflow.send("GET", f"auth/fab/v1/roles/{name}").ok
        method, path = ("PATCH", f"auth/fab/v1/roles/{name}") if known else ("POST", "auth/fab/v1/roles")
        airflow.done(method, path, as_body(who, dag_ids))
    return list(ROLES.values())


def make_accounts(airflow: Airflow, passwords: Mapping[str, str]) -> list[str]:
    """Make the accounts that are not there, each with the role of its name; gives their names."""
    made = []
    for name, password in passwords.items():
        if airflow.send("GET", f"auth/fab/v1/users/{name}").ok:
            continue
        role = ROLES.get(name, ADMIN)
        person = {"username": name, "first_name": name.title(), "last_name": "Konsil", "email": f"{name}@localhost"}
        airflow.done("POST", "auth/fab/v1/users", {**person, "password": password, "roles": [{"name": role}]})
        made.append(name)
    return made
