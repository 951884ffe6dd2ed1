"""Who may do what in the tabs, by Airflow's own login, and that a request was made from our own pages.

A browser says where a request comes from (`Sec-Fetch-Site`, `Origin`), and a header of ours cannot be sent by another
site without being asked first (Fetch standard, CORS-preflight). A person may steer a federation here who may edit the
DAG that does it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagDetails
from fastapi import HTTPException, Request

WORD = "X-Konsil-Word"
CENTRE_DAG, SITE_DAG = "run_federation", "join_federation"


def refuse_strangers(request: Request, header: str, sentence: str) -> None:
    """Raise 403 with `sentence` unless the request comes from a page of this server, with `header`."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    elsewhere = site not in (None, "same-origin")
    if site is None and origin is not None:
        elsewhere = urlsplit(origin).netloc != request.headers.get("host")
    if elsewhere or header not in request.headers:
        raise HTTPException(403, sentence)


def may_edit(dag_id: str, user: Any) -> bool:
    """Whether Airflow lets this account edit a DAG."""
    manager = get_auth_manager()
    return bool(manager.is_authorized_dag(method="PUT", details=DagDetails(id=dag_id), user=user))


def is_one_of(names: Iterable[str], user: Any) -> bool:
    """Whether this account is one of those named, as Airflow's *Required Actions* would see it."""
    return bool(get_auth_manager().is_authorized_hitl_task(assigned_users=set(names), user=user))
