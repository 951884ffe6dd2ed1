"""Deciding on cases from the tab: who may, and what is kept.

A decision is taken only from the site's own pages (`plugins.access`, header `X-Konsil-Review`). Who may decide is who
may answer the sign-off: the accounts of KONSIL_REVIEWERS, as Airflow's auth manager knows them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from fastapi import HTTPException
from pydantic import ValidationError

from konsil.cohort.cases import Case
from konsil.cohort.folder import CohortFolder, SiteFolder
from konsil.cohort.frozen import broken_rule
from konsil.errors import KonsilError
from konsil.quality.review import Opinion, Review, record, split_reviews, withdraw
from konsil.settings import Settings
from konsil.types import Json

DAG = "prepare_cohort"
HEADER = "X-Konsil-Review"
STRANGERS = "Decisions are taken from the pages of this site only."
LOOK_ONLY = "You may look; a reviewer of this site decides."


def may_review(user: Any) -> bool:
    """Whether Airflow lets this account answer the sign-off of a cohort."""
    manager = get_auth_manager()
    details = DagDetails(id=DAG)
    entity = DagAccessEntity.HITL_DETAIL
    if not manager.is_authorized_dag(method="PUT", access_entity=entity, details=details, user=user):
        return False
    return bool(manager.is_authorized_hitl_task(assigned_users=set(Settings().reviewers), user=user))


def folder_of(home: Path, cohort: str) -> CohortFolder:
    """The folder of a cohort that has a report; 404 for everything else."""
    try:
        folder = SiteFolder(home).cohort(cohort)
    except KonsilError as error:
        raise HTTPException(404, "There is no such cohort.") from error
    if not (folder.reports / "cohort.html").is_file():
        raise HTTPException(404, "There is no such cohort.")
    return folder


def current(folder: CohortFolder, user: Any) -> Json:
    """What the pages show: all decisions, those that are outdated marked, and whether this account may decide."""
    try:
        standing, outdated = split_reviews(folder)
    except KonsilError as error:
        raise HTTPException(409, error.sentence) from error
    cases = {name: shown(one, outdated=False) for name, one in standing.items()}
    cases |= {name: shown(one, outdated=True) for name, one in outdated.items()}
    why = "" if may_review(user) else LOOK_ONLY
    if folder.frozen.exists():
        why = "This cohort is signed and frozen."
    return {"may": not why, "why": why, "cases": cases}


def shown(review: Review, *, outdated: bool) -> Json:
    """One decision as the pages show it."""
    at = review.at.astimezone(UTC).isoformat()
    return {"decision": review.decision, "reason": review.reason, "by": review.by, "at": at, "outdated": outdated}


def decide(folder: CohortFolder, user: Any, asked: Json) -> None:
    """Keep (or, with `decision` null, take back) a decision; 403, 400 or 409 with a sentence otherwise."""
    if not may_review(user):
        raise HTTPException(403, LOOK_ONLY)
    try:
        case = Case.parse(str(asked.get("case", "")))
        if asked.get("decision") is None:
            withdraw(folder, case)
            return
        opinion = Opinion(**{key: asked[key] for key in ("decision", "artifacts", "note") if key in asked})
        record(folder, case, opinion, by=user.get_name(), at=datetime.now(UTC), seen=str(asked.get("seen", "")))
    except ValidationError as error:
        raise HTTPException(400, f"This is no decision: {broken_rule(error)}.") from error
    except KonsilError as error:
        raise HTTPException(409, error.sentence) from error
