"""A start that goes wrong is told with the end of the log."""

import sys
import threading
from pathlib import Path

import pytest

from konsil.errors import Unavailable
from konsil.stack.health import PARTS, tail, unhealthy, wait_until_ready
from konsil.stack.places import Place, free_ports
from konsil.stack.processes import start
from konsil.stack.supervisor import State


def nobody(folder: Path) -> Place:
    return Place("A", free_ports(1)[0], folder / "a")


def test_nobody_there_is_not_healthy(tmp_path: Path) -> None:
    assert unhealthy(nobody(tmp_path), timeout_s=1) == ["api-server"]
    assert "scheduler" in PARTS


def test_a_component_that_ends_is_told_with_its_last_words(tmp_path: Path) -> None:
    place = nobody(tmp_path)
    command = [sys.executable, "-c", "print('the port is taken')"]
    process = start("A.scheduler", command, folder=tmp_path, env={}, cwd=tmp_path)
    with pytest.raises(Unavailable, match=r"A\.scheduler ended while it started; got the port is taken"):
        wait_until_ready(place, [process], tmp_path / "logs", say=lambda text: None, halt=threading.Event())


def test_waiting_ends_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="A was not ready after 0 s; got still missing: api-server"):
        wait_until_ready(
            nobody(tmp_path), [], tmp_path, say=lambda text: None, halt=threading.Event(), timeout_s=0
        )  # fmt: skip


def test_another_thread_can_end_the_waiting(tmp_path: Path) -> None:
    halt = threading.Event()
    halt.set()
    with pytest.raises(Unavailable, match="interrupted"):
        wait_until_ready(nobody(tmp_path), [], tmp_path, say=lambda text: None, halt=halt)


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
