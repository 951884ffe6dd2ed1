"""The table *Who may what* of docs/airflow.md, cell by cell, asked of the manager behind Airflow's REST API."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

from konsil.settings import Settings
from konsil.stack.accounts import CENTRE_ROLES, SITE_ROLES

GUIDE = Path(__file__).parents[2] / "docs" / "airflow.md"
Ask = Callable[[SimpleAuthManager, SimpleAuthManagerUser], bool]


def on_dag(method: Any, entity: DagAccessEntity | None = None) -> Ask:
    return lambda manager, user: manager.is_authorized_dag(method=method, access_entity=entity, user=user)


def asked(people: str) -> Ask:
    return lambda manager, user: manager.is_authorized_hitl_task(
        assigned_users=set(getattr(Settings(), people)), user=user
    )


def belongings(manager: SimpleAuthManager, user: SimpleAuthManagerUser) -> bool:
    seen: set[bool] = set()
    for method in ("GET", "PUT"):
        seen |= {manager.is_authorized_connection(method=method, user=user)}  # type: ignore[arg-type]
        seen |= {manager.is_authorized_variable(method=method, user=user)}  # type: ignore[arg-type]
    (found,) = seen
    return found


ACTS: dict[str, Ask] = {
    "see DAGs, runs, logs and tabs": on_dag("GET", DagAccessEntity.TASK_LOGS),
    "start a DAG by its form": on_dag("POST", DagAccessEntity.RUN),
    "clear, stop or mark a task": on_dag("PUT", DagAccessEntity.TASK_INSTANCE),
    "pause a DAG": on_dag("PUT"),
    "choose series, sign a cohort off": asked("reviewers"),
    "decide on a charter, sign a policy": asked("custodians"),
    "leave a federation": asked("custodians"),
    "steer a federation (centre)": lambda manager, user: user.username in CENTRE_ROLES and on_dag("PUT")(manager, user),
    "see or change connections, variables": belongings,
    "change pools": lambda manager, user: manager.is_authorized_pool(method="PUT", user=user),
}


def cells() -> list[tuple[str, str, bool]]:
    """(act, account, whether) of every cell of the table."""
    text = GUIDE.read_text().split("**Who may what**")[1].split("\n\n")[1]
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.strip().splitlines()]
    return [(row[0], who, word == "yes") for row in rows for who, word in zip(head[1:], row[1:], strict=True)]


def test_the_table_names_every_act_and_every_account() -> None:
    found = cells()
    assert {act for act, _, _ in found} == set(ACTS)
    assert {who for _, who, _ in found} == {*SITE_ROLES, *CENTRE_ROLES}


@pytest.mark.parametrize(("act", "who", "may"), cells())
def test_airflow_says_what_the_table_says(act: str, who: str, may: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KONSIL_REVIEWERS", raising=False)
    role = {**CENTRE_ROLES, **SITE_ROLES}[who]
    user = SimpleAuthManagerUser(username=who, role=role)
    assert ACTS[act](SimpleAuthManager(), user) is may
