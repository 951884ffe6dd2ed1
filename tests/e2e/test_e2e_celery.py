"""A site whose work is done by Celery workers, chosen by setting alone: the same DAGs, the same model, a worker killed.

Real PostgreSQL, real Redis (Debian's), two `airflow celery worker`. On one machine here; on several the workers see the
place's folders over the network (docs/scale-out.md).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import psutil
import pytest

from konsil.files import write_bytes
from konsil.learners import registry
from konsil.stack.configuration import environment
from konsil.stack.processes import Process, start, stop
from tests.e2e.postgres import Cluster, is_there
from tests.e2e.village import LEARNER, Village, eventually, with_instant_learner

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.demo,  # two minutes
    pytest.mark.skipif(not is_there() or not shutil.which("redis-server"), reason="sh scripts/need_redis.sh"),
]
RUN, ROUNDS = "scaled-1", 4
SLOW_S = 300.0
WORKERS = ("first", "second")


@dataclass
class Scaled:
    """Centre and site A with Airflow, A's work at two workers; B by hand."""

    village: Village
    workers: dict[str, Process] = field(default_factory=dict)

    def begin(self, name: str) -> None:
        """Start a worker of A."""
        place, folder = self.village.place("A"), self.village.plan.folder
        command = [sys.executable, "-m", "airflow", "celery", "worker", "--skip-serve-logs", "--celery-hostname", name]
        with with_instant_learner():
            self.workers[name] = start(
                f"A.worker-{name}", command, folder=folder, env=environment(place, self.village.plan.marker),
                cwd=place.airflow_home,
            )  # fmt: skip

    def log(self, name: str) -> str:
        """What a worker said."""
        return (self.village.plan.folder / "logs" / f"A.worker-{name}.log").read_text(errors="replace")

    def ended_tasks(self, name: str) -> int:
        """How many tasks a worker has brought to an end."""
        return self.log(name).count("succeeded in")

    def soon(self, look: object, what: str) -> None:
        """Return when `look` holds."""
        assert callable(look)
        eventually(lambda: bool(look()), what, timeout_s=SLOW_S)


@pytest.fixture(scope="module")
def scaled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scaled]:
    folder = tmp_path_factory.mktemp("scaled")
    found = Scaled(Village(folder, ["A", "B"], by_hand=("B",)))
    database, socket = Cluster(), folder / "redis.sock"
    options = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)]
    broker = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
    registry.LEARNERS["instant"] = "instant_learner:Instant"
    sys.path.insert(0, str(LEARNER))
    try:
        chosen = {
            "core": {"executor": "CeleryExecutor"},
            "celery": {"broker_url": f"redis+socket://{socket}"},
            "database": {"sql_alchemy_conn": database.start()},
        }
        text = "".join(f"[{part}]\n{key} = {value}\n" for part, has in chosen.items() for key, value in has.items())
        write_bytes(found.village.place("A").airflow_home / "airflow.cfg", text.encode(), mode=0o600)
        found.village.up()
        for name in WORKERS:
            found.begin(name)
        yield found
    finally:
        stop(list(found.workers.values()), folder=found.village.plan.folder, grace_s=5)
        found.village.down()
        broker.kill()
        broker.wait()
        database.stop()
        sys.path.remove(str(LEARNER))
        del registry.LEARNERS["instant"]


def owner(scaled: Scaled, pid: int) -> str:
    """The worker below which a process works."""
    above = {parent.pid for parent in psutil.Process(pid).parents()}
    (name,) = [name for name, worker in scaled.workers.items() if worker.pid in above]
    return name


def test_the_setting_outlives_a_restart(scaled: Scaled) -> None:
    text = (scaled.village.place("A").airflow_home / "airflow.cfg").read_text()
    assert "executor = CeleryExecutor" in text
    assert "broker_url = redis+socket://" in text


def test_a_federation_runs_on_workers_and_outlives_one_of_them(scaled: Scaled) -> None:
    village = scaled.village
    village.start(RUN, rounds=ROUNDS, pause_s=0.5, patience_s=10.0, site_patience_s=60.0)
    village.bring_update("B", RUN, 1)
    village.wait_for_round(RUN, 1, SLOW_S)
    village.hold("A")
    scaled.soon(lambda: village.training("A", RUN).get("round", 0) >= 2, "the second training at A")
    held = village.training("A", RUN)
    first = owner(scaled, held["pid"])
    for process in psutil.Process(scaled.workers[first].pid).children(recursive=True):
        with suppress(psutil.Error):
            process.kill()
    with suppress(ProcessLookupError):
        os.killpg(scaled.workers[first].pid, signal.SIGKILL)
    scaled.soon(lambda: not scaled.workers[first].alive, "the end of the worker")
    village.release("A")
    for number in range(2, ROUNDS + 1):
        village.bring("B", RUN, f"rounds/{number:04d}/updates/*", SLOW_S)
        village.wait_for_round(RUN, number, SLOW_S)
    village.bring("B", RUN, f"evaluation/{ROUNDS:04d}/*", SLOW_S)
    village.wait_for_end(RUN, SLOW_S)
    assert village.model("A", RUN) == village.model("centre", RUN)
    (other,) = set(WORKERS) - {first}
    again = [one for one in village.trained("A", RUN) if one["round"] == held["round"]]
    assert len(again) == 1
    assert scaled.ended_tasks(other) > 0
