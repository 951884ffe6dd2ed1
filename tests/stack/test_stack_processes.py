"""Processes end surely, strangers are left alone."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from konsil.files import write_json
from konsil.stack.processes import MARKER, Process, find, marked, since_boot_s, start, stop, sweep

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)",
]
PARENT = [
    sys.executable,
    "-c",
    "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], "
    "start_new_session=True); print('up', flush=True); time.sleep(60)",
]

TITLED = [
    sys.executable,
    "-c",
    "import setproctitle, time; setproctitle.setproctitle('airflow ' + 2000 * 'x'); print('up', flush=True); "
    "time.sleep(60)",
]


@pytest.fixture
def env(tmp_path: Path) -> Iterator[dict[str, str]]:
    yield {**os.environ, MARKER: str(tmp_path)}
    assert sweep(str(tmp_path)) == []


def begin(name: str, command: list[str], folder: Path, env: dict[str, str]) -> Process:
    process = start(name, command, folder=folder, env=env, cwd=folder)
    deadline = time.monotonic() + 20
    while "up" not in (folder / "logs" / f"{name}.log").read_text():
        assert time.monotonic() < deadline, "the process did not start"
        time.sleep(0.02)
    return process


def test_a_process_is_found_again_and_stopped(tmp_path: Path, env: dict[str, str]) -> None:
    process = begin("A.one", SLEEP, tmp_path, env)
    assert find("A.one", tmp_path) == process
    assert process.alive
    stop([process], folder=tmp_path)
    assert not process.alive
    assert find("A.one", tmp_path) is None


def test_one_that_ignores_sigterm_is_killed(tmp_path: Path, env: dict[str, str]) -> None:
    process = begin("A.stubborn", STUBBORN, tmp_path, env)
    stop([process], folder=tmp_path, grace_s=0.3)
    assert marked(str(tmp_path)) == []


def test_children_in_other_groups_are_swept(tmp_path: Path, env: dict[str, str]) -> None:
    process = begin("A.parent", PARENT, tmp_path, env)
    assert len(marked(str(tmp_path))) == 2
    stop([process], folder=tmp_path)
    assert len(marked(str(tmp_path))) == 1, "the child leads a group of its own"
    assert sweep(str(tmp_path)) == []
    assert marked(str(tmp_path)) == []


def test_a_stranger_with_the_same_id_is_not_ours(tmp_path: Path) -> None:
    stranger = subprocess.Popen(SLEEP, stdout=subprocess.DEVNULL)
    try:
        begun = since_boot_s(psutil.Process(stranger.pid))
        write_json(tmp_path / "processes" / "A.old.json", {"pid": stranger.pid, "started": begun - 3600})
        old = find("A.old", tmp_path)
        assert old is not None
        assert not old.alive
        stop([old], folder=tmp_path)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_corrected_clock_makes_no_stranger_of_it(
    tmp_path: Path, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    process = begin("A.one", SLEEP, tmp_path, env)
    booted = psutil.boot_time()
    for module in (psutil, psutil._psplatform):
        monkeypatch.setattr(module, "boot_time", lambda: booted + 3600)
    assert process.alive
    stop([process], folder=tmp_path)
    assert not process.alive


def test_one_that_gives_itself_a_long_title_still_shows_whose_it_is(tmp_path: Path, env: dict[str, str]) -> None:
    process = begin("A.titled", TITLED, tmp_path, env)
    assert [found.pid for found in marked(str(tmp_path))] == [process.pid]


def test_another_stack_is_left_alone(tmp_path: Path, env: dict[str, str]) -> None:
    begin("A.mine", SLEEP, tmp_path, env)
    assert sweep(str(tmp_path / "other")) == []
    assert len(marked(str(tmp_path))) == 1


def test_logs_are_private(tmp_path: Path, env: dict[str, str]) -> None:
    touch = [sys.executable, "-c", "open('made', 'w').close(); print('up', flush=True)"]
    begin("A.touch", touch, tmp_path, env)
    assert (tmp_path / "made").stat().st_mode & 0o077 == 0
