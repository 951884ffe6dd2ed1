"""A start that goes wrong is told with the end of the log."""

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from konsil.errors import Unavailable
from konsil.stack import instance
from konsil.stack.health import PARTS, is_well, tail, unhealthy, wait_until_ready
from konsil.stack.instance import Keeper
from konsil.stack.places import Place, Plan, free_ports, make_plan
from konsil.stack.processes import find, stop
from konsil.stack.supervisor import State


def nobody(folder: Path) -> Place:
    return Place("A", free_ports(1)[0], folder / "a")


def test_nobody_there_is_not_healthy(tmp_path: Path) -> None:
    assert unhealthy(nobody(tmp_path), timeout_s=1) == ["api-server"]
    assert "scheduler" in PARTS


def quietly(text: str) -> None:
    """Say nothing."""


SLEEPS = ("-c", "import time; time.sleep(60)")


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plan]:
    """A stack whose components are little programs."""
    monkeypatch.setattr(instance, "COMPONENTS", {"api-server": SLEEPS, "scheduler": SLEEPS})
    monkeypatch.setattr(instance, "AIRFLOW", ())
    monkeypatch.setattr(instance, "environment", lambda place, marker: {"KONSIL_HOME": str(place.home)})
    made = make_plan(tmp_path, ["A"])
    made.sites[0].airflow_home.mkdir(parents=True)
    yield made
    stop([found for part in instance.COMPONENTS if (found := find(f"A.{part}", tmp_path))], folder=tmp_path, grace_s=0)


def test_a_component_that_ends_is_told_with_its_last_words(plan: Plan) -> None:
    instance.COMPONENTS["api-server"] = ("-c", "print('the port is taken')")
    keeper = Keeper(plan, plan.sites[0], say=quietly)
    keeper.keep()
    first = find("A.api-server", plan.folder)
    assert first is not None
    while first.alive:
        time.sleep(0.05)
    with pytest.raises(Unavailable, match=r"A\.api-server ended while it started; got the port is taken"):
        keeper.keep()


def test_a_component_that_was_on_its_way_out_is_started_again(plan: Plan) -> None:
    Keeper(plan, plan.sites[0], say=quietly).keep()  # an earlier start
    first = find("A.scheduler", plan.folder)
    assert first is not None
    os.kill(first.pid, signal.SIGKILL)
    while first.alive:
        time.sleep(0.05)
    Keeper(plan, plan.sites[0], say=quietly).keep()
    second = find("A.scheduler", plan.folder)
    assert second is not None
    assert second.alive
    assert second.pid != first.pid


WITH_WORKER = """
import subprocess, sys, time
worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(worker.pid, flush=True)
time.sleep(60)
"""


def test_what_a_killed_api_server_left_behind_does_not_hold_its_port(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {"KONSIL_STACK": plan.marker}
    monkeypatch.setattr(instance, "environment", lambda place, marker: variables)
    instance.COMPONENTS |= dict.fromkeys(("api-server", "scheduler"), ("-c", WITH_WORKER))
    Keeper(plan, plan.sites[0], say=quietly).keep()
    workers = {}
    for part in instance.COMPONENTS:
        log = plan.folder / "logs" / f"A.{part}.log"
        while not log.exists() or not log.read_text().endswith("\n"):
            time.sleep(0.05)
        workers[part] = psutil.Process(int(log.read_text()))
        found = find(f"A.{part}", plan.folder)
        assert found is not None
        os.kill(found.pid, signal.SIGKILL)
        while found.alive:
            time.sleep(0.05)
    Keeper(plan, plan.sites[0], say=quietly).keep()
    assert not alive(workers["api-server"])
    assert alive(workers["scheduler"]), "it may do hours of work, and holds nothing"
    workers["scheduler"].kill()


def alive(process: psutil.Process) -> bool:
    return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)


def test_a_component_that_lives_but_does_not_answer_is_replaced(plan: Plan) -> None:
    site = plan.sites[0]
    Keeper(plan, site, say=quietly).keep()  # an earlier start
    first = find("A.scheduler", plan.folder)
    assert first is not None
    Keeper(plan, site, say=quietly).keep(["scheduler"])
    assert first.alive, "it gets time to answer"
    told: list[str] = []
    keeper = Keeper(plan, site, say=told.append, patience_s=-1)
    keeper.keep(["metadatabase"])
    assert first.alive
    keeper.keep(["scheduler"])
    second = find("A.scheduler", plan.folder)
    assert second is not None
    assert second.alive
    assert not first.alive
    assert told == ["A: scheduler does not answer any more and is started anew"]
    keeper.keep(["scheduler"])
    assert second.alive, "what was started by this call is waited for"


def test_a_heartbeat_of_before_does_not_count() -> None:
    now = datetime.now(UTC)
    state = {"status": "healthy", "latest_scheduler_heartbeat": now.isoformat()}
    assert is_well("scheduler", state, None)
    assert is_well("scheduler", state, now - timedelta(seconds=1))
    assert not is_well("scheduler", state, now + timedelta(seconds=1))
    assert is_well("metadatabase", {"status": "healthy"}, now)
    assert not is_well("scheduler", {"status": "unhealthy"}, None)


def nothing(silent: Sequence[str]) -> None:
    """Keep nothing."""


def test_waiting_ends_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="A was not ready after 0 s; got still missing: api-server"):
        wait_until_ready(nobody(tmp_path), nothing, say=lambda text: None, halt=threading.Event(), timeout_s=0)


def test_another_thread_can_end_the_waiting(tmp_path: Path) -> None:
    halt = threading.Event()
    halt.set()
    with pytest.raises(Unavailable, match="interrupted"):
        wait_until_ready(nobody(tmp_path), nothing, say=lambda text: None, halt=halt)


def test_the_end_of_a_log_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("1\n2\n3\n")
    assert tail(tmp_path / "log", lines=2) == "2 | 3"
    assert tail(tmp_path / "nothing") == "no log"


def test_states_are_sentences(tmp_path: Path) -> None:
    place = nobody(tmp_path)
    parts = ("api-server", "scheduler", "dag-processor", "triggerer")
    assert State(place, parts, ()).sentence == "stopped"
    assert State(place, (), ()).sentence == "healthy"
    assert "scheduler does not run; konsil stack up --only A" in State(place, ("scheduler",), ()).sentence
    assert State(place, (), ("triggerer",)).sentence == "unhealthy: triggerer"
