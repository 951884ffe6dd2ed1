"""A small real stack for tests and benches of the orchestration: centre, sites, S3 server, and the instant learner.

Sites are named A, B, …; each gets a cohort of tiny images, which the learner only counts. Those `by_hand` have no
Airflow and take part from the calling process; `databases` are addresses of databases other than SQLite, by place, and
`login` is an auth manager other than Airflow's simple one for these. `answers_s` is how long an API server may take to
answer: two minutes, longer for a bench on a full machine. A federation is started by the operator's form and approved
by the custodians, as people would.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import psutil

from konsil.cohort.adopt import Pair, adopt
from konsil.cohort.folder import SiteFolder
from konsil.demo.people import answer, last_words, until
from konsil.errors import Missing
from konsil.federation.steps import Wait
from konsil.files import write_bytes
from konsil.parties.decision import accept_charter
from konsil.parties.opening import open_site
from konsil.parties.wake import addressed_charters
from konsil.sdk.airflow import AirflowClient
from konsil.sdk.answers import TaskState
from konsil.stack import supervisor
from konsil.stack.accounts import passwords
from konsil.stack.places import CENTRE, Place, Plan, make_plan
from konsil.stack.processes import marked
from konsil.trust.roster import bucket_of

LEARNER = Path(__file__).with_name("instant")
COHORT = "tiny"
STINTS = {True: "aggregate_rounds", False: "train_rounds"}
FAMILIES = {True: "run_federation", False: "join_federation"}


def quietly(text: str) -> None:
    """Say nothing."""


@contextmanager
def with_instant_learner() -> Iterator[None]:
    """Whatever is started meanwhile finds the instant learner."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(LEARNER), before)))
    try:
        yield
    finally:
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before


@dataclass
class Village:
    """The stack in `folder` with its people."""

    folder: Path
    sites: Sequence[str]
    by_hand: Sequence[str] = ()
    databases: dict[str, str] = field(default_factory=dict)
    login: str = ""
    answers_s: float = 120.0
    plan: Plan = field(init=False)

    def __post_init__(self) -> None:
        self.plan = make_plan(self.folder, self.sites)

    @property
    def with_airflow(self) -> list[str]:
        """The places that have one."""
        return [place.name for place in self.plan.places if place.name not in self.by_hand]

    def up(self) -> None:
        """Start everything that does not run."""
        for place in self.plan.sites:
            if not (place.home / "cohorts" / COHORT).exists():
                give_cohort(place.home, self.folder / "image.nii.gz")
        for name, address in self.databases.items():
            path = self.place(name).airflow_home / "airflow.cfg"
            core = f"[core]\nauth_manager = {self.login}\n" if self.login else ""
            if not path.exists():
                write_bytes(path, f"{core}[database]\nsql_alchemy_conn = {address}\n".encode(), mode=0o600)
        with with_instant_learner():
            supervisor.up(self.plan, say=quietly, only=self.with_airflow)

    def down(self, *only: str, at_once: bool = False) -> None:
        """Stop everything, or the named places; `at_once`: as a power failure would."""
        supervisor.down(self.plan, say=quietly, only=only, grace_s=0 if at_once else 12)

    def place(self, name: str) -> Place:
        """Centre or site."""
        (found,) = self.plan.only([name])
        return found

    def admin(self, name: str) -> AirflowClient:
        """An account of a place that may do everything; questions must have grown old before it answers them."""
        return self.person(name, "admin")

    def person(self, name: str, account: str) -> AirflowClient:
        """One account of a place."""
        place = self.place(name)
        return AirflowClient(place.url, account, passwords(place)[account], timeout_s=self.answers_s)

    def start(
        self,
        run: str,
        *,
        rounds: int,
        pause_s: float = 0.0,
        patience_s: float | None = None,
        site_patience_s: float | None = None,
        **more: Any,
    ) -> None:
        """Publish a charter and let every custodian approve; returns when all have answered. `more`: of the form."""
        form = {"run": run, "title": run, "sites": list(self.sites), "rounds": rounds, "compare_with_local": False}
        form |= {"learner": {"name": "instant", "settings": {"pause_s": pause_s}}, "patience_s": patience_s}
        quorum = {"sites": len(self.sites), "share_of_cases": 1.0, "required": list(self.sites)}
        self.admin(CENTRE).trigger("run_federation", {**form, "quorum": quorum, **more})
        for site in self.sites:
            if site in self.by_hand:
                self.answer_by_hand(site, run)
                continue
            if site_patience_s is not None:
                self.set_patience(site, site_patience_s)
            answer(self.admin(site), "join_federation", "Approve", {"cohort": COHORT}, timeout_s=8 * self.answers_s)

    def answer_by_hand(self, site: str, run: str) -> None:
        """The custodian of a site without Airflow accepts, and the site sends its fingerprint."""
        home = self.place(site).home
        eventually(lambda: run in addressed_charters(home), "the charter")
        accept_charter(home, run, cohort=COHORT, by="custodian")
        party = open_site(home, run)
        while not isinstance(party.step(), Wait):
            pass

    def set_patience(self, site: str, seconds: float) -> None:
        """The variable that a site's people set in *Admin → Variables*."""
        client, name = self.admin(site), "konsil_patience_s"
        with suppress(Missing):
            client.call("DELETE", f"variables/{name}")
        client.call("POST", "variables", {"key": name, "value": str(seconds)})

    def bring_update(self, site: str, run: str, number: int) -> None:
        """Let a site without Airflow do what is to be done up to its update of a round, and nothing after it."""
        self.bring(site, run, f"rounds/{number:04d}/updates/*")

    def bring(self, site: str, run: str, place: str, timeout_s: float = 60) -> None:
        """Let a site without Airflow do what is to be done until a message of its own lies in a place."""
        party = open_site(self.place(site).home, run)
        eventually(
            lambda: bool(self.manifests(site, run, place)) or not party.step(),
            f"{place} of {site}",
            timeout_s=timeout_s,
        )

    def clear(self, site: str, stint: str, *task_ids: str) -> None:
        """Clear tasks of a stint, or all of them, as a person does in the UI."""
        content: dict[str, Any] = {"dry_run": False, "dag_run_id": stint, "only_failed": False, "reset_dag_runs": True}
        content |= {"task_ids": list(task_ids), "include_downstream": True} if task_ids else {}
        self.admin(site).call("POST", f"dags/{STINTS[site == CENTRE]}/clearTaskInstances", content)

    def pause(self, site: str, dag_id: str, *, paused: bool) -> None:
        """Pause a DAG, or let it go on."""
        self.admin(site).call("PATCH", f"dags/{dag_id}", {"is_paused": paused})

    def verbs(self, name: str) -> list[psutil.Process]:
        """The `konsil` processes that do the rounds of a place."""
        found = []
        for process in marked(self.plan.marker, KONSIL_HOME=str(self.place(name).home)):
            with suppress(psutil.Error):
                line = process.cmdline()
                found += [process] if "konsil.cli" in line and "rounds" in line else []
        return found

    def trained(self, site: str, run: str) -> list[dict[str, Any]]:
        """The trainings that a site finished: round, began, ended (seconds since the epoch)."""
        path = self.place(site).home / "runs" / run / "trainings.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []

    def hold(self, site: str) -> None:
        """From now on no training at a site ends, until `release`."""
        (self.place(site).home / "hold").touch()

    def release(self, site: str) -> None:
        """Let the trainings at a site end."""
        (self.place(site).home / "hold").unlink(missing_ok=True)

    def training(self, site: str, run: str) -> dict[str, int]:
        """The round and the process of the newest training at a site, also when it is over; empty before the first."""
        path = self.place(site).home / "runs" / run / "training.json"
        return dict(json.loads(path.read_text())) if path.is_file() else {}

    def manifests(self, owner: str, run: str, place: str) -> list[Path]:
        """The manifests of a party below a place of a run, as files of the store, by their time."""
        bucket = self.place(CENTRE).home / "store" / "data" / bucket_of(owner)
        return sorted(bucket.glob(f"{run}/{place}/manifest-*.json"), key=lambda path: path.stat().st_mtime_ns)

    def rounds_done(self, run: str) -> int:
        """Number of the newest global model; -1 before the first weights."""
        return len(self.manifests(CENTRE, run, "rounds/*/global")) - 1

    def wait_for_round(self, run: str, number: int, timeout_s: float = 120) -> None:
        """Return when the global model of a round lies in the store."""
        until(lambda: self.rounds_done(run) >= number or None, what=f"round {number}", timeout_s=timeout_s, poll_s=0.1)

    def wait_for_end(self, run: str, timeout_s: float = 240) -> None:
        """Return when every party has stored its model and its DAG run succeeded; a failed one is told in its words."""
        for name in self.with_airflow:
            until(lambda name=name: self.ended(name), what=f"the end at {name}", timeout_s=timeout_s, poll_s=0.5)  # type: ignore[misc]

    def ended(self, name: str) -> bool | None:
        """True when the newest run of the place's family DAG succeeded."""
        client, dag_id = self.admin(name), FAMILIES[self.place(name).is_centre]
        newest, state = client.runs(dag_id)[-1]
        if state == "failed":
            broken = next(task for task in client.tasks(dag_id, newest) if task.state == "failed")
            raise AssertionError(last_words(client, dag_id, newest, broken.task_id, broken.attempt, broken.map_index))
        return True if state == "success" else None

    def model(self, name: str, run: str) -> bytes:
        """The released weights at a place, as bytes."""
        with np.load(self.place(name).home / "models" / run / "instant.npz") as stored:
            return bytes(stored["w"].tobytes())

    def stints(self, name: str, run: str) -> list[tuple[str, str]]:
        """(DAG run, state) of the stints of a run at a place, in their order."""
        dag_id = STINTS[self.place(name).is_centre]
        return [(one, state) for one, state in self.admin(name).runs(dag_id) if one.startswith(f"{run}__stint_")]

    def task(self, name: str, stint: str, task_id: str) -> TaskState:
        """A task of a stint."""
        tasks = self.admin(name).tasks(STINTS[self.place(name).is_centre], stint)
        return next(task for task in tasks if task.task_id == task_id)


def give_cohort(home: Path, image: Path) -> None:
    """A frozen cohort of two training cases, one validation, one test."""
    if not image.is_file():
        image.parent.mkdir(parents=True, exist_ok=True)
        empty: Any = nib.Nifti1Image(np.zeros((3, 3, 3), np.float32), np.eye(4))
        nib.save(empty, image)
    splits = ["train", "train", "validation", "test"]
    pairs = [Pair(str(n), {"T1w": image, "FLAIR": image}, image, split=split) for n, split in enumerate(splits)]
    labels = {"background": 0, "lesion": 1}
    root = SiteFolder(home).cohort(COHORT).path
    adopt(pairs, name=COHORT, channels=["T1w", "FLAIR"], labels=labels, root=root, seed=1)


def eventually(look: Callable[[], bool], what: str, timeout_s: float = 60) -> None:
    """Return when `look` holds."""
    deadline = time.monotonic() + timeout_s
    while not look():
        assert time.monotonic() < deadline, f"{what} did not come within {timeout_s:.0f} s"
        time.sleep(0.1)
