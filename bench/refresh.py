"""What it costs that Airflow's API server gets a fresh worker now and then, and whether its memory stays bounded by it.

One API server as `konsil stack` configures it (gunicorn, one worker), with the tabs of a site that takes part in a
federation; nothing else of Airflow runs. `--people` ask without a pause, each over a connection that is kept open, and
one more opens a connection for every request. The worker is replaced every `--every` seconds instead of twelve hours.

    requests    how many, how many failed, seconds (median, slowest), and the slowest within 3 s of a replacement
    memory      of parent and worker together, without counting twice what they share (PSS); and the worker's RSS in
                its first and last second, by worker

    python bench/refresh.py --json build/bench/refresh.json
    python bench/refresh.py --server uvicorn --every 0      Airflow's default: one process, never replaced
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import requests

sys.path.insert(0, str(Path(__file__).parents[1]))

from konsil.errors import KonsilError
from konsil.sdk.airflow import AirflowClient
from konsil.stack import supervisor
from konsil.stack.accounts import passwords
from konsil.stack.configuration import configure, environment
from konsil.stack.instance import AIRFLOW, COMPONENTS, migrate
from konsil.stack.places import Place, Plan, make_plan
from konsil.stack.processes import find, start
from tests.e2e.village import eventually, quietly
from tests.plugins.stage import LONG, busy_town

NAME = "A.api-server"
MB = 1e6
PAGES = (
    "ui/dags?limit=50",
    "api/v2/dags/prepare_cohort/details",
    "konsil/quality",
    "konsil/federation",
    f"konsil/federation/{LONG}/now.html",
    f"konsil/federation/{LONG}/now",
    "konsil/governance",
)


@dataclass
class Seen:
    """What was asked and weighed; times in seconds since the beginning."""

    asked: list[tuple[float, float]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    workers: dict[int, list[tuple[float, float]]] = field(default_factory=dict)
    pss_mb: list[tuple[float, float]] = field(default_factory=list)


@contextmanager
def api_server(folder: Path, every_s: int, server: str) -> Iterator[tuple[Plan, Place]]:
    """The API server of site A, whose home is that of a town in which much is under way."""
    home = busy_town(folder / "town").home("A")
    plan = make_plan(folder / "stack", ["A"])
    (place,) = plan.sites
    configure(place)
    own = {"AIRFLOW__API__SERVER_TYPE": server, "AIRFLOW__API__WORKER_REFRESH_INTERVAL": str(every_s)}
    own |= {"KONSIL_HOME": str(home)}
    variables = environment(place, plan.marker) | own
    try:
        migrate(place, variables, quietly)
        start(NAME, [sys.executable, *AIRFLOW, *COMPONENTS["api-server"]], folder=plan.folder, env=variables,
              cwd=place.airflow_home)  # fmt: skip
        eventually(lambda: answers(place), "an API server that answers", timeout_s=900)
        yield plan, place
    finally:
        supervisor.down(plan, say=quietly)


def answers(place: Place) -> bool:
    """Whether the API server says that it lives."""
    with suppress(requests.RequestException):
        return requests.get(f"{place.url}/api/v2/monitor/health", timeout=60).ok
    return False


def ask(place: Place, token: str, seen: Seen, began: float, until: float, *, kept: bool) -> None:
    """One person, who opens page after page."""
    person: Any = requests.Session() if kept else requests
    number = 0
    while time.monotonic() < until:
        page, number, at = PAGES[number % len(PAGES)], number + 1, time.monotonic()
        try:
            answer = person.get(f"{place.url}/{page}", cookies={"_token": token}, timeout=120)
            if answer.status_code >= 500 or answer.status_code == 401:
                seen.failed.append(f"{at - began:.1f} s: {page.split('?')[0]}: {answer.status_code}")
        except requests.RequestException as error:
            seen.failed.append(f"{at - began:.1f} s: {page.split('?')[0]}: {type(error).__name__}")
        seen.asked.append((at - began, time.monotonic() - at))


def weigh(plan: Plan, seen: Seen, began: float) -> None:
    """Parent and workers, now."""
    process = find(NAME, plan.folder)
    parent = psutil.Process(process.pid) if process else None
    family, whole, at = parent.children() if parent else [], 0.0, time.monotonic() - began
    for one in [parent, *family] if parent else []:
        with suppress(psutil.Error):
            told = one.memory_full_info()
            whole += told.pss / MB
            if one != parent or not family:
                seen.workers.setdefault(one.pid, []).append((round(at, 1), round(told.rss / MB, 1)))
    seen.pss_mb.append((round(at, 1), round(whole, 1)))


def watched(chosen: argparse.Namespace) -> Seen:
    """Ask and weigh for as long as it was wished."""
    seen = Seen()
    with (
        tempfile.TemporaryDirectory(prefix="konsil-refresh-") as folder,
        api_server(Path(folder), chosen.every, chosen.server) as (plan, place),
    ):
        client = AirflowClient(place.url, "admin", passwords(place)["admin"], timeout_s=300)
        client.login()
        began = time.monotonic()
        until = began + chosen.seconds
        threads = [
            threading.Thread(target=ask, args=(place, client._token, seen, began, until), kwargs={"kept": number > 0})
            for number in range(chosen.people + 1)
        ]
        for thread in threads:
            thread.start()
        while time.monotonic() < until:
            weigh(plan, seen, began)
            time.sleep(1)
        for thread in threads:
            thread.join()
    return seen


def told(seen: Seen, chosen: argparse.Namespace) -> dict[str, Any]:
    """The figures."""
    lasted = [seconds for _, seconds in seen.asked]
    changes = [weights[0][0] for weights in list(seen.workers.values())[1:]]
    gone = {one: weights[-2:][0][1] for one, weights in seen.workers.items()}  # the last second may be its end
    near = [s for at, s in seen.asked if any(change - 3 <= at <= change + 3 for change in changes)]
    third = len(seen.pss_mb) // 3
    return {
        "server": chosen.server,
        "every_s": chosen.every,
        "load": round(os.getloadavg()[0], 1),
        "requests": len(lasted),
        "failed": seen.failed,
        "median_s": round(statistics.median(lasted), 3),
        "slowest_s": round(max(lasted), 2),
        "replaced": len(changes),
        "slowest_near_s": round(max(near), 2) if near else None,
        "pss_mb": {"first third": most(seen.pss_mb[:third]), "last third": most(seen.pss_mb[-third:])},
        "worker_rss_mb": [[weights[0][1], gone[one]] for one, weights in seen.workers.items()],
    }


def most(weights: list[tuple[float, float]]) -> float:
    """The largest of some weights."""
    return max((weight for _, weight in weights), default=0.0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--every", type=int, default=20, help="seconds; 0: never")
    parser.add_argument("--server", choices=("gunicorn", "uvicorn"), default="gunicorn")
    parser.add_argument("--people", type=int, default=2)
    chosen = parser.parse_args()
    try:
        result = told(watched(chosen), chosen)
    except KonsilError as error:
        sys.exit(error.sentence)
    print(json.dumps(result, indent=2))
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(result, indent=2) + "\n")
