"""Memory and CPU seconds of every process that carries this run's mark in its environment, sampled from /proc.

What role a process plays is said by a function of its command line, so daemons and grandchildren are counted too.
Resident memory is the sum over a role's processes at one moment; the high-water mark is the kernel's, of one process.
Only processes with the mark are measured, and only they are ended.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

MARK = "BENCH_RUN_ID"
TICK = os.sysconf("SC_CLK_TCK")
LOOKS = 15  # a child shows its parent's environment until it became another program: look again before giving up
Key = tuple[int, str]  # process number and start time


class Monitor(threading.Thread):
    """Samples every `interval` seconds from `start` to `stop`."""

    def __init__(self, mark: str, role_of: Callable[[str], str], interval: float = 0.1) -> None:
        super().__init__(daemon=True)
        self._mark, self._role_of, self._interval = f"{MARK}={mark}".encode(), role_of, interval
        self._strangers: dict[Key, int] = defaultdict(int)
        self._done = threading.Event()
        self.commands: dict[Key, str] = {}
        self.roles: dict[Key, str] = {}
        self.cpu: dict[Key, float] = {}
        self.highest: dict[Key, int] = {}
        self.series: list[tuple[float, dict[str, int], dict[str, float], float]] = []  # time, memory, CPU, machine

    def run(self) -> None:
        """Sample until told to stop."""
        while not self._done.wait(self._interval):
            self.sample()

    def stop(self) -> None:
        """A last look, then no more."""
        self._done.set()
        self.join()
        self.sample()

    def sample(self) -> None:
        """Look at all processes once."""
        memory: dict[str, int] = defaultdict(int)
        for key, cpu in self._ours():
            self.cpu[key] = cpu
            resident, highest = memory_of(key[0])
            memory[self.roles[key]] += resident
            self.highest[key] = max(self.highest.get(key, 0), highest)
        total: dict[str, float] = defaultdict(float)
        for key, cpu in self.cpu.items():
            total[self.roles[key]] += cpu
        self.series.append((time.time(), dict(memory), dict(total), machine_busy()))

    def _ours(self) -> Iterator[tuple[Key, float]]:
        for number in (int(name) for name in os.listdir("/proc") if name.isdigit()):  # noqa: PTH208 - thousands of names
            text = content(f"/proc/{number}/stat").decode(errors="replace")
            fields = text[text.rfind(")") + 2 :].split()
            if number == os.getpid() or len(fields) < 20 or not self._belongs(key := (number, fields[19])):
                continue
            command = content(f"/proc/{number}/cmdline").replace(b"\0", b" ").decode(errors="replace")
            if command and command != self.commands.get(key):
                self.commands[key], self.roles[key] = command, self._role_of(command)
            if key in self.roles:
                yield key, (int(fields[11]) + int(fields[12])) / TICK

    def _belongs(self, key: Key) -> bool:
        if key in self.roles:
            return True
        if self._strangers[key] > LOOKS:
            return False
        environment = content(f"/proc/{key[0]}/environ")
        if self._mark in environment.split(b"\0"):
            return True
        self._strangers[key] += bool(environment)
        return False

    def end_all(self) -> None:
        """End what is left of the run, by process number."""
        for number, _ in [key for key, _ in self._ours()]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)

    def between(self, begin: float, end: float) -> dict[str, Any]:
        """By role: CPU seconds and peak of the summed memory in a stretch of time; and what others used of the CPUs."""
        inside = [sample for sample in self.series if begin <= sample[0] <= end]
        if len(inside) < 2:
            raise RuntimeError("The measured stretch is shorter than two samples: more rounds or a larger scale")
        (first, last), roles = (inside[0], inside[-1]), sorted(set(self.roles.values()))
        cpu = {role: last[2].get(role, 0.0) - first[2].get(role, 0.0) for role in roles}
        stretch = (last[0] - first[0]) * (os.cpu_count() or 1)
        others = (last[3] - first[3] - sum(cpu.values())) / stretch
        peaks = {role: max(sample[1].get(role, 0) for sample in inside) for role in roles}
        return {"cpu_s": cpu, "peak_sum_bytes": peaks, "foreign_cpu_share": round(max(0.0, others), 3)}

    def largest(self, role: str) -> int:
        """High-water mark of the largest process of a role, bytes."""
        return max((self.highest.get(key, 0) for key, found in self.roles.items() if found == role), default=0)


def content(path: str) -> bytes:
    """The bytes of a file below /proc; nothing if the process has gone."""
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def memory_of(number: int) -> tuple[int, int]:
    """Resident memory now and at its highest, bytes."""
    found = dict.fromkeys(("VmRSS:", "VmHWM:"), 0)
    for line in content(f"/proc/{number}/status").decode(errors="replace").splitlines():
        name, _, value = line.partition("\t")
        if name in found:
            found[name] = int(value.split()[0]) * 1024
    return found["VmRSS:"], found["VmHWM:"]


def machine_busy() -> float:
    """CPU seconds that all processes of the machine have used."""
    user, nice, system, _, _, irq, soft, stolen = (int(field) for field in content("/proc/stat").split()[1:9])
    return (user + nice + system + irq + soft + stolen) / TICK
