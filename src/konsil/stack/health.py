"""Waiting until an Airflow instance really answers: all four components healthy and every DAG of the place known."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import requests

from konsil.errors import Unavailable
from konsil.stack.accounts import passwords
from konsil.stack.configuration import dag_ids
from konsil.stack.places import Place
from konsil.types import Json

Say = Callable[[str], None]
PARTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")


def unhealthy(place: Place, *, since: datetime | None = None, timeout_s: float = 5.0) -> list[str]:
    """Components of a place that do not (yet) report themselves healthy; all of them when nobody answers.

    `since`: a heartbeat from before that moment does not count; it may be that of a process that is no more.
    """
    try:
        answer = requests.get(f"{place.url}/api/v2/monitor/health", timeout=timeout_s)
        states = answer.json() if answer.ok else {}
    except (requests.RequestException, ValueError):
        return ["api-server"]
    return [name for name in PARTS if not is_well(name, states.get(name) or {}, since)]


def is_well(name: str, state: Json, since: datetime | None) -> bool:
    """Whether a component reports itself healthy, with a heartbeat of late."""
    said = state.get(f"latest_{name}_heartbeat")
    is_late = since is not None and said is not None and datetime.fromisoformat(str(said)) < since
    return state.get("status") == "healthy" and not is_late


def missing_dags(place: Place) -> list[str]:
    """DAGs of the place that its Airflow has not read yet."""
    try:
        login = {"username": "admin", "password": passwords(place)["admin"]}
        token = requests.post(f"{place.url}/auth/token", json=login, timeout=30).json()["access_token"]
        header = {"Authorization": f"Bearer {token}"}
        answer = requests.get(f"{place.url}/api/v2/dags?limit=100", headers=header, timeout=30).json()
    except (requests.RequestException, ValueError, KeyError):
        return list(dag_ids(place))
    known = {dag["dag_id"] for dag in answer.get("dags", [])}
    return [name for name in dag_ids(place) if name not in known]


def wait_until_ready(
    place: Place, keep: Callable[[Sequence[str]], None], *, say: Say, halt: threading.Event, timeout_s: float = 240.0
) -> None:
    """Return when the place is healthy and knows its DAGs; raise `Unavailable` otherwise.

    `keep` starts what does not run; it is asked again and again, and told which components are silent. Another thread
    sets `halt` to end the waiting early.
    """
    since, deadline = datetime.now(UTC), time.monotonic() + timeout_s
    silent: list[str] = []
    told: list[str] = []
    while True:
        if halt.is_set():
            raise Unavailable(f"the start of {place.name} was interrupted")
        keep([name.replace("_", "-") for name in silent])
        silent = unhealthy(place, since=since)
        waiting = silent or missing_dags(place)
        if not waiting:
            return
        if time.monotonic() > deadline:
            parts = ", ".join(waiting)
            raise Unavailable(
                f"{place.name} was not ready after {timeout_s:.0f} s", got=f"still missing: {parts}",
                hint=f"Read its logs: konsil stack logs --only {place.name}",
            )  # fmt: skip
        if waiting != told:
            say(f"{place.name}: waiting for {', '.join(waiting)}")
            told = waiting
        time.sleep(0.5)


def tail(log: Path, lines: int = 8) -> str:
    """The last lines of a log as one line of text."""
    if not log.exists():
        return "no log"
    text = log.read_text(errors="replace").strip().splitlines()
    return " | ".join(line.strip() for line in text[-lines:]) or "an empty log"
