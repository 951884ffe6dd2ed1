"""A trial of a centre and its sites in containers, with its people behind TLS, and the demo's federation in it.

`KONSIL_STACK_SLOTS=a,b` runs fewer sites, `KONSIL_STACK_SIZE=small` fewer patients and rounds: for a small machine.
"""

import json
import os
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from konsil.demo.inboxes import fill
from konsil.demo.people import answer, last_words, until
from konsil.demo.plan import DemoPlan
from konsil.errors import KonsilError, Unavailable
from konsil.sdk.airflow import AirflowClient
from konsil.stack.wishes import Wish
from tests.containers.engine import container, docker

SLOTS = os.environ.get("KONSIL_STACK_SLOTS", "a,b,c").split(",")
SMALL = os.environ.get("KONSIL_STACK_SIZE", "demo") == "small"
SITES = {"a": "A", "b": "B", "c": "C"}
PARTS = ("db", "api", "scheduler", "dag-processor", "triggerer", "proxy")
PORTS = {"centre": 8443, "a": 8444, "b": 8445, "c": 8446}
PATIENCE_S = 5400.0
Found = TypeVar("Found")


@dataclass(frozen=True)
class Trial:
    """What `konsil init` made in `folder`, and the demo's plan for the sites that there are."""

    folder: Path
    plan: DemoPlan

    @property
    def wish(self) -> Wish:
        """What is set up: work is done by the image that was built, by its ID."""
        worker = docker("image", "inspect", "--format", "{{.Id}}", "konsil/worker").stdout.strip()
        return Wish("all-in-one", "localhost", tuple(SITES[slot] for slot in SLOTS), worker)

    @property
    def places(self) -> list[str]:
        return ["centre", *SLOTS]

    @property
    def services(self) -> list[str]:
        return ["minio", "store-proxy", *(f"{place}-{part}" for place in self.places for part in PARTS)]

    @property
    def authority(self) -> Path:
        """What signed the certificates of its pages."""
        return self.folder / "ca.pem"

    def has(self, place: str, path: str) -> bool:
        """Whether a place's home holds this file."""
        words = ["exec", container(f"{place}-scheduler"), "test", "-e", f"/data/home/{path}"]
        return docker(*words, check=False).returncode == 0

    def url(self, place: str) -> str:
        return f"https://localhost:{PORTS[place]}/{'centre' if place == 'centre' else f'site-{place}'}"

    def password(self, place: str, account: str) -> str:
        return str(json.loads((self.folder / place / "place.json").read_text())["passwords"][account])

    def person(self, place: str, account: str) -> AirflowClient:
        """Somebody at a place, who trusts the authority that `konsil init` made and nobody else."""
        return AirflowClient(self.url(place), account, self.password(place, account), timeout_s=120)


def sized(folder: Path) -> DemoPlan:
    """The demo's plan, or a smaller one of the same kind, for the sites that there are."""
    plan = DemoPlan(folder)
    hospitals = tuple(one for one in plan.hospitals if one.site in {SITES[slot] for slot in SLOTS})
    if not SMALL:
        return replace(plan, hospitals=hospitals)
    few = tuple(replace(one, cases=5, fault="") for one in hospitals)
    return replace(plan, hospitals=few, rounds=3, batches_per_round=10)


def call(trial: Trial, place: str, path: str, body: Any = None, token: str = "") -> tuple[int, Any]:
    """One request to the UI's port as a stranger's program makes it; what is no JSON is given as text."""
    trust = ssl.create_default_context(cafile=str(trial.authority))
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(trial.url(place) + path, data, headers)  # noqa: S310 - https
    try:
        with urllib.request.urlopen(request, timeout=120, context=trust) as got:  # noqa: S310 - https, above
            text = got.read().decode()
            return got.status, json.loads(text) if text.startswith(("{", "[")) else text
    except urllib.error.HTTPError as error:
        return error.code, None


def token_of(trial: Trial, place: str, account: str) -> str:
    code, got = call(trial, place, "/auth/token", {"username": account, "password": trial.password(place, account)})
    assert code == 201
    return str(got["access_token"])


def prepare(trial: Trial, slot: str) -> None:
    """One hospital from its patients to its frozen cohort, as its people do it."""
    plan = trial.plan
    fill(plan, next(one for one in plan.hospitals if one.site == SITES[slot]), threading.Event())
    shares = {"validation_share": plan.validation_share, "test_share": plan.test_share}
    form = {"cohort": plan.cohort, "inbox": "/inbox", "limits": "wide", **shares}
    staff = trial.person(slot, "staff")
    run = staff.trigger("prepare_cohort", form)
    comment = {"comment": "Looked at the report."}
    answer(trial.person(slot, "reviewer"), "prepare_cohort", "Approve", comment, timeout_s=PATIENCE_S)
    end = staff.wait("prepare_cohort", run, timeout_s=PATIENCE_S, poll_s=3)
    assert end == "success", told(staff, "prepare_cohort")


def start(trial: Trial, run: str, **changed: Any) -> str:
    """The operator publishes the demo's charter under that name, every custodian approves; gives the DAG run."""
    plan = replace(trial.plan, run=run, **changed)
    dag_run = patiently(lambda: trial.person("centre", "operator").trigger("run_federation", plan.form))
    for slot in SLOTS:
        custodian = trial.person(slot, "custodian")
        answer(custodian, "join_federation", "Approve", {"cohort": plan.cohort}, timeout_s=PATIENCE_S)
    return dag_run


def ended(trial: Trial, dag_run: str) -> str:
    """How the centre's run has ended; empty while it goes on."""
    operator = trial.person("centre", "operator")
    state = patiently(lambda: operator.state("run_federation", dag_run))
    assert state != "failed", told(operator, "run_federation")
    return state if state == "success" else ""


def finish(trial: Trial, dag_run: str) -> None:
    """Wait until the federation has ended everywhere; every DAG run must be a success."""
    until(lambda: ended(trial, dag_run) or None, what="the federation's end", timeout_s=PATIENCE_S, poll_s=5)
    for slot in SLOTS:
        staff = trial.person(slot, "staff")
        name = patiently(lambda staff=staff: staff.runs("join_federation")[-1][0])  # type: ignore[misc]
        end = staff.wait("join_federation", name, timeout_s=PATIENCE_S, poll_s=5)
        assert end == "success", told(staff, "join_federation")


def told(client: AirflowClient, dag_id: str) -> str:
    """The last words of the failed tasks of a DAG's newest run."""
    run = client.runs(dag_id)[-1][0]
    broken = [task for task in client.tasks(dag_id, run) if task.state == "failed"]
    lines = [last_words(client, dag_id, run, task.task_id, task.attempt, task.map_index) for task in broken[:3]]
    return "; ".join(lines) or f"{run}: no failed task"


def patiently(ask: Callable[[], Found], timeout_s: float = 600.0) -> Found:
    """What somebody gets who asks again while the place is being started anew."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return ask()
        except (Unavailable, KonsilError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(3)


def file_of(place: str, path: str) -> str:
    """A file of a place's home."""
    return docker("exec", container(f"{place}-scheduler"), "cat", f"/data/home/{path}").stdout


@contextmanager
def timed(name: str, **more: Any) -> Iterator[None]:
    """Record how many seconds the body took in the file that KONSIL_STACK_FIGURES names."""
    begun = time.monotonic()
    yield
    record(name, {"seconds": round(time.monotonic() - begun, 1), **more})


def record(name: str, value: Any) -> None:
    """Add a figure to that file."""
    if path := os.environ.get("KONSIL_STACK_FIGURES"):
        file = Path(path)
        found = json.loads(file.read_text()) if file.exists() else {}
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(found | {name: value}, indent=2) + "\n")
