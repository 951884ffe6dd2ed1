"""What every runner of the exchange shares: arguments, processes with this run's mark, the figures of its rounds.

A runner exchanges the model for some rounds in one system and writes one JSON object. It runs in a network of its own
where the machine lets it (`unshare --net`): the loopback's counter is then the run's traffic, no port is taken, and
nothing can leave.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import shutil
import socket
import statistics
import struct
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from model import SCALE
from monitor import MARK, Monitor

HERE = Path(__file__).resolve().parent
SET_FLAGS, UP = 0x8914, 0x1 | 0x40  # SIOCSIFFLAGS; IFF_UP | IFF_RUNNING
Row = dict[str, Any]


class Session:
    """One run of one system: a work folder, marked processes, and the samples about them."""

    def __init__(self, chosen: argparse.Namespace, role_of: Callable[[str], str]) -> None:
        self.sites, self.rounds, self.chosen = chosen.sites, chosen.rounds, chosen
        self.work = Path(tempfile.mkdtemp(prefix="konsil-exchange-"))
        mark = uuid.uuid4().hex
        self.environment = {**os.environ, MARK: mark, SCALE: str(chosen.scale), "BENCH_OUT": str(self.out)}
        self.environment["PYTHONPATH"] = str(HERE)
        self.monitor = Monitor(mark, role_of)
        self.traffic: list[tuple[float, int]] = []
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def out(self) -> Path:
        """Where the system's own processes write stamps and the check of the result."""
        return self.work / "rounds.json"

    def start(self, name: str, *command: object, **changes: str) -> subprocess.Popen[bytes]:
        """Start a process that is measured; what it says goes to `<work>/<name>.log`."""
        with (self.work / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [str(part) for part in command], cwd=self.work, env={**self.environment, **changes}, stdout=log,
                stderr=log)  # fmt: skip
        self._processes.append(process)
        return process

    def wait_for(self, path: Path, *alive: subprocess.Popen[bytes], timeout_s: float = 3000) -> None:
        """Wait until a file is there; RuntimeError if a process ends with an error before that, or time is up."""
        deadline = time.monotonic() + timeout_s
        while not path.is_file():
            failed = [process.args for process in alive if process.poll()]
            if failed or time.monotonic() > deadline:
                raise RuntimeError(f"no {path.name}: {failed or 'time is up'}")
            time.sleep(0.1)

    def end(self) -> None:
        """End every process of the run."""
        for process in reversed(self._processes):
            if process.poll() is None:
                process.terminate()
        for process in self._processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
        self.monitor.end_all()

    def tail(self) -> str:
        """The last words of every process."""
        logs = sorted(self.work.rglob("*log*.txt")) + sorted(self.work.glob("*.log"))
        return "\n".join(f"== {path.name}\n{path.read_text(errors='replace')[-1500:]}" for path in logs)


def arguments(description: str | None) -> argparse.Namespace:
    """The command line of a runner."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--secure", action="store_true", help="konsil alone: with secure aggregation")
    parser.add_argument("--json", type=Path, required=True)
    return parser.parse_args()


@contextmanager
def session(description: str | None, role_of: Callable[[str], str]) -> Iterator[Session]:
    """A run from its first to its last process; on a failure the processes' last words are shown."""
    made = Session(arguments(description), role_of)
    loopback_up()
    made.monitor.start()
    try:
        yield made
    except BaseException:
        print(made.tail())
        raise
    finally:
        made.end()
        shutil.rmtree(made.work, ignore_errors=True)


def report(run: Session, system: str, stamps: list[float], found: Mapping[str, Any]) -> None:
    """Write the figures. `stamps`: when each round began, and when the last one ended; the first round is dropped."""
    run.monitor.stop()
    took = [after - before for before, after in pairwise(stamps)][1:]
    window = run.monitor.between(stamps[1], stamps[-1])
    cpu = {role: round(seconds / len(took), 2) for role, seconds in window["cpu_s"].items()}
    row: Row = {
        "system": system,
        "sites": run.sites,
        "rounds": len(took),
        "round_s": [round(seconds, 3) for seconds in took],
        "median_s": round(statistics.median(took), 3),
        "cpu_s_per_round": {**cpu, "all": round(sum(cpu.values()), 2)},
        "peak_rss_mb": {role: round(run.monitor.largest(role) / 1e6, 1) for role in sorted(cpu)},
        "peak_sum_mb": {role: round(peak / 1e6, 1) for role, peak in window["peak_sum_bytes"].items()},
        "mb_per_site_and_round": traffic(run),
        "foreign_cpu_share": window["foreign_cpu_share"],
        **found,
    }
    run.chosen.json.write_text(json.dumps(row, indent=2) + "\n")


def traffic(run: Session) -> float | None:
    """Megabytes over the loopback of a network of our own, by site and round (start and end of the run included)."""
    if not alone():
        return None
    fields = next(line for line in Path("/proc/net/dev").read_text().splitlines() if line.strip().startswith("lo:"))
    return round(int(fields.split(":")[1].split()[0]) / run.sites / run.rounds / 1e6, 1)


def alone() -> bool:
    """Whether the only network here is the loopback."""
    return [name for _, name in socket.if_nameindex()] == ["lo"]


def loopback_up() -> None:
    """Switch the loopback of a fresh network on."""
    if alone():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            fcntl.ioctl(control, SET_FLAGS, struct.pack("16sH14s", b"lo", UP, b"\0" * 14))
