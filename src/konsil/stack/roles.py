"""Roles for a hospital's login (Airflow's FAB auth manager): what each person of DESIGN section 1 may do, and no more.

A role is a set of permissions, (action, resource) in FAB's names. Airflow asks two of them where somebody changes
something of a DAG: the action on the kind of thing (*DAG Runs*, *Task Instances*, *HITL Detail*), which a role has for
all DAGs, and *can edit* on the DAG itself. So a role's DAGs (`OWN_DAGS`) decide where its actions reach. Nobody but
FAB's own *Admin* may write XComs, because a written XCom could pretend an answer, and no operator answers a question.

Which people may answer is asked beside the role: `KONSIL_REVIEWERS`, `KONSIL_CUSTODIANS` (plugins/login.py).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TypeAlias

from konsil.types import Json

Permission: TypeAlias = tuple[str, str]

EVERY_DAG = "DAGs"
ROLES = {
    "staff": "Konsil staff",
    "reviewer": "Konsil reviewer",
    "custodian": "Konsil custodian",
    "operator": "Konsil operator",
}
"""Account of a stack → its role; an account `admin` has FAB's role `Admin`."""

OWN_DAGS = {
    "staff": ("prepare_cohort", "predict", "doctor"),
    "reviewer": ("prepare_cohort",),
    "custodian": ("join_federation",),
    "operator": (),
}
"""The DAGs a role may change something of, by DAG id; the operator may change all of them."""


def on(action: str, *resources: str) -> frozenset[Permission]:
    """One action on several resources."""
    return frozenset((action, resource) for resource in resources)


SEEN = (
    EVERY_DAG, "DAG Code", "DAG Dependencies", "DAG Runs", "DAG Versions", "DAG Warnings", "Task Instances",
    "Task Logs", "XComs", "HITL Detail", "Assets", "Asset Aliases", "ImportError", "Jobs", "Cluster Activity",
    "Plugins", "Website",
)  # fmt: skip
"""What everybody reads; without *Plugins* Airflow shows no tabs of ours."""
MENU = ("Browse", EVERY_DAG, "DAG Runs", "Task Instances", "HITL Detail", "Assets", "Docs", "Documentation")
OWN = on("can_read", "My Profile", "My Password") | on("can_edit", "My Profile", "My Password")
LOOK = on("can_read", *SEEN) | on("menu_access", *MENU) | OWN
RUN = on("can_create", "DAG Runs") | on("can_edit", "DAG Runs", "Task Instances")
ANSWER = on("can_edit", "HITL Detail")
HOUSE = ("Connections", "Variables", "Pools")
KEEP = frozenset(
    permission
    for action in ("can_read", "can_create", "can_edit", "can_delete")
    for permission in on(action, *HOUSE)
) | on("menu_access", "Admin", *HOUSE)  # fmt: skip
ACTS: dict[str, frozenset[Permission]] = {
    "staff": LOOK | RUN,
    "reviewer": LOOK | ANSWER,
    "custodian": LOOK | RUN | ANSWER,
    "operator": LOOK | RUN | KEEP | on("can_edit", EVERY_DAG),
}


def permissions(who: str, dag_ids: Collection[str]) -> list[Permission]:
    """The permissions of a role at a place with these DAGs, in a fixed order. KeyError for what is no role of ours."""
    own = (f"DAG:{dag_id}" for dag_id in OWN_DAGS[who] if dag_id in dag_ids)
    return sorted(ACTS[who] | on("can_edit", *own))


def as_body(who: str, dag_ids: Collection[str]) -> Json:
    """The role as FAB's REST API takes it."""
    return {"name": ROLES[who], "actions": pairs(permissions(who, dag_ids))}


def pairs(given: Iterable[Permission]) -> list[dict[str, dict[str, str]]]:
    """Permissions in the form of FAB's REST API."""
    return [{"action": {"name": action}, "resource": {"name": resource}} for action, resource in given]
