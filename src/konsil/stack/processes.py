"""Processes that outlive the command that started them, and their sure end.

Each process leads its own group and has a file with its id and its start, in seconds since the machine was booted: an
id alone would one day name a stranger, and a time of day moves when the system corrects its clock. All processes of a
stack, and all their children, carry KONSIL_STACK in their environment; what is left after the groups were ended is
found by it. (A task starts its work as a group of its own, so groups alone are not enough.)
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from konsil.files import read_json, write_json

MARKER = "KONSIL_STACK"
READABLE = {"SPT_NOENV": "1"}
"""Airflow writes titles over its processes' environment, and the marker with it, unless setproctitle is told not to."""
PATIENCE_S = 5.0  # a killed process that sits in the kernel may take a moment
SAME_S = 2.0  # between two tellings of one start; the boot time is known to the second
CHILDREN: list[subprocess.Popen[bytes]] = []  # started by this very process and not yet collected


@dataclass(frozen=True)
class Process:
    """One process of the stack by its name, such as `A.scheduler`."""

    name: str
    pid: int
    started: float

    @property
    def alive(self) -> bool:
        """Whether this very process (not another one with its id) still works."""
        try:
            found = psutil.Process(self.pid)
            return abs(since_boot_s(found) - self.started) < SAME_S and found.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


def since_boot_s(process: psutil.Process) -> float:
    """When a process began, in seconds since the machine was booted; no correction of the clock changes it."""
    return float(process.create_time() - psutil.boot_time())


def start(name: str, command: Sequence[str], *, folder: Path, env: Mapping[str, str], cwd: Path) -> Process:
    """Start `command` in a group of its own; its output goes to `<folder>/logs/<name>.log`, readable by us alone."""
    log = folder / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    cwd.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env={**env, **READABLE},
            cwd=cwd, start_new_session=True, umask=0o077,
        )  # fmt: skip
    CHILDREN.append(child)
    return record(name, child.pid, folder)


def record(name: str, pid: int, folder: Path) -> Process:
    """Remember a process that was just started."""
    with suppress(psutil.Error):
        process = Process(name, pid, since_boot_s(psutil.Process(pid)))
        write_json(folder / "processes" / f"{name}.json", {"pid": pid, "started": process.started})
        return process
    return Process(name, pid, 0.0)


def find(name: str, folder: Path) -> Process | None:
    """The recorded process of this name, whether it is alive or not."""
    path = folder / "processes" / f"{name}.json"
    if not path.exists():
        return None
    content = read_json(path)
    return Process(name, int(content["pid"]), float(content["started"]))


def stop(processes: Sequence[Process], *, folder: Path, grace_s: float = 12.0) -> None:
    """End the groups of these processes: politely, after `grace_s` for good. Their records vanish."""
    alive = [process for process in processes if process.alive]
    for process in alive if grace_s else ():
        end_group(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while time.monotonic() < deadline and any(process.alive for process in alive):
        reap()
        time.sleep(0.1)
    for process in processes:
        if process in alive:
            end_group(process.pid, signal.SIGKILL)
        (folder / "processes" / f"{process.name}.json").unlink(missing_ok=True)
    reap({process.pid for process in alive})


def end_rest(gone: Process, marker: str) -> None:
    """Kill what a process that is gone has left behind in its group."""
    left = []
    for process in marked(marker):
        with suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(process.pid) == gone.pid:
                process.kill()
                left.append(process)
    psutil.wait_procs(left, timeout=PATIENCE_S)


def end_group(pid: int, number: int) -> None:
    """Signal a whole process group; a group that is already gone is fine."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def reap(killed: Collection[int] = ()) -> None:
    """Collect ended children of this very process, so that they do not linger; those just killed are waited for."""
    for child in list(CHILDREN):
        if child.pid in killed:
            with suppress(subprocess.TimeoutExpired):
                child.wait(PATIENCE_S)
        if child.poll() is not None:
            CHILDREN.remove(child)


def marked(marker: str, **more: str) -> list[psutil.Process]:
    """Every process, except this one and its parents, whose environment names this stack (and agrees with `more`)."""
    wanted = {MARKER: marker, **more}
    me = psutil.Process()
    own = {me.pid, *(parent.pid for parent in me.parents())}
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            environment = process.environ()
            if process.pid not in own and all(environment.get(key) == value for key, value in wanted.items()):
                found.append(process)
    return found


def sweep(marker: str, *, patience_s: float = PATIENCE_S, **more: str) -> list[psutil.Process]:
    """Kill what still carries the marker; return what could not be ended (nothing, normally)."""
    deadline = time.monotonic() + patience_s
    while left := marked(marker, **more):
        if time.monotonic() > deadline:
            return left
        for process in left:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(left, timeout=1)
    reap()
    return []
