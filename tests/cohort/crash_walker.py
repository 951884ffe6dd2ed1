"""Walks a cohort through every step while killing, crowding and starving it, and tells what differed.

Run as a program: `crash_walker.py HOME INBOX RESULT.json`. One process imports everything and forks a child for each
attempt, so that an attempt costs its work alone. A child counts the moments at which the folder changes (a file opened
for writing, renamed, linked, removed; a folder made or removed; Python's audit events) and kills itself with SIGKILL
just before the one it was told. KONSIL_FUZZ above 1 tries every moment of every step on its own, and as many kills at
random times; 1 kills at the first moment, continues and kills at the second, and so on until the step comes through.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

CHANGES = {"os.rename", "os.remove", "os.link", "os.rmdir", "os.mkdir", "os.truncate"}
WRITES = os.O_WRONLY | os.O_RDWR
STEPS = ("scan", "deidentify", "convert", "orient", "mask", "register", "qc", "report", "freeze")
MODULES = (
    "cli.app dicom.scan dicom.deidentify dicom.convert dicom.seg registration.orient registration.register "
    "quality.masks quality.verdict quality.report quality.limits cohort.freeze cohort.frozen settings"
)
SIGNED_AT = "2026-11-21T09:00:00+00:00"
TINY_BYTES, SMALL_BYTES = 50, 6000
MOST_KILLS = 6


class Walk:
    """The home of one site, what came before a step, and what came of it undisturbed."""

    def __init__(self, home: Path, inbox: Path, out: Path) -> None:
        self.home, self.inbox, self.out = home, inbox, out
        self.kept = home.with_name("kept")

    def words(self, step: str) -> list[str]:
        """The command of a step, as the operators give it."""
        given = {
            "scan": [str(self.inbox), "--cohort", "ms"],
            "deidentify": [str(self.inbox), "ms"],
            "convert": [str(self.home / "work" / "ms" / "dicom"), "ms"],
            "qc": ["ms", "--limits", "wide"],
            "freeze": ["ms", "--sign-off", str(self.home.with_name("signed.json"))],
        }
        return [step, *given.get(step, ["ms"])]

    def attempt(self, step: str, *, die_at: int = 0, largest: int = 0, after_s: float = 0) -> tuple[int, int]:
        """Run a step in a child; its status (negative: the signal) and the number of moments it counted."""
        told = os.pipe()
        child = os.fork()
        if child == 0:
            self.run(step, told[1], die_at, largest)
        os.close(told[1])
        if after_s:
            time.sleep(after_s)
            os.kill(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        with os.fdopen(told[0], "rb") as pipe:
            return status, len(pipe.read())

    def run(self, step: str, told: int, die_at: int, largest: int) -> None:
        """The child: count, perhaps die, perhaps with files that may not grow."""
        from konsil.cli.app import main

        log = os.open(os.devnull if largest else self.home.with_name("log.txt"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        home, seen = str(self.home), 0

        def count(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal seen
            writes = event == "open" and bool((arguments[2] or 0) & WRITES)
            if not (writes or event in CHANGES) or not str(arguments[0]).startswith(home):
                return
            if str(arguments[0]).endswith(".lock"):
                return
            seen += 1
            os.write(told, b".")
            if seen == die_at:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        if largest:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))
        sys.argv = ["konsil", *self.words(step)]
        code: Any = 70
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code
        finally:
            os._exit(code if isinstance(code, int) else 0)

    def tree(self) -> dict[str, str]:
        """Every file of the home with its hash."""
        files = sorted(path for path in self.home.rglob("*") if path.is_file() and path.name != ".lock")
        return {str(path.relative_to(self.home)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    def restore(self, step: str) -> None:
        """The home as it was before a step."""
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.copytree(self.kept / step, self.home)

    def sign(self) -> None:
        """A signature over the report that lies there."""
        report = self.home / "cohorts" / "ms" / "derivatives" / "konsil" / "reports" / "cohort.html"
        signed = {"by": "reviewer", "at": SIGNED_AT, "decisions": {}}
        signed["report_sha256"] = hashlib.sha256(report.read_bytes()).hexdigest()
        verdicts = {path.name.removesuffix("_qc.json"): json.loads(path.read_text()) for path in self.qc_files()}
        signed["decisions"] = {name: {"decision": "accept", "reason": "a test"} for name in verdicts}
        self.home.with_name("signed.json").write_text(json.dumps(signed))

    def qc_files(self) -> list[Path]:
        """The verdicts of all cases."""
        return sorted(self.home.rglob("*_qc.json"))

    def differences(self, wanted: dict[str, str], what: str) -> list[str]:
        """What is other than after an undisturbed run."""
        found = self.tree()
        changed = [name for name in wanted.keys() & found.keys() if wanted[name] != found[name]]
        lost, extra = wanted.keys() - found.keys(), found.keys() - wanted.keys()
        return [
            f"{what}: {word} {name}"
            for word, names in (("changed", changed), ("lost", lost), ("extra", extra))
            for name in names
        ]


def killed_on_and_on(walk: Walk, step: str, wanted: dict[str, str], moments: int) -> tuple[int, list[str]]:
    """Kill at an early moment, go on and kill at a later one, and so on; the number of kills and what differs."""
    walk.restore(step)
    kills, stride = 0, max(1, moments // MOST_KILLS)
    for moment in range(1, moments + 2 * stride, stride):
        status, _ = walk.attempt(step, die_at=moment)
        if status != -signal.SIGKILL:
            ended = [] if status == 0 else [f"ended with status {status}"]
            return kills, ended + walk.differences(wanted, "killed on and on")
        kills += 1
    return kills, ["never ended"]


def killed_everywhere(walk: Walk, step: str, wanted: dict[str, str], moments: int, usual_s: float) -> list[str]:
    """Kill once at every moment, and as often at random times; finish undisturbed each time."""
    different = []
    chance = random.Random(step)
    for moment in range(1, moments + 1):
        for how in ({"die_at": moment}, {"after_s": 0.01 + chance.random() * usual_s}):
            walk.restore(step)
            walk.attempt(step, **how)  # type: ignore[arg-type]
            status, _ = walk.attempt(step)
            different += [] if status == 0 else [f"status {status} after {how}"]
            different += walk.differences(wanted, str(how))
    return different


def starved(walk: Walk, step: str, wanted: dict[str, str], sizes: tuple[int, ...]) -> list[str]:
    """No file may grow beyond a size: a refusal, nothing half-written; then the disk has room again."""
    different = []
    for largest in sizes:
        walk.restore(step)
        status, _ = walk.attempt(step, largest=largest)
        different += [] if status in (0, 1) else [f"full disk: status {status}"]
        different += [f"full disk: left {path.name}" for path in walk.home.rglob(".part-*")]
        status, _ = walk.attempt(step)
        different += [] if status == 0 else [f"after the full disk: status {status}"]
        different += walk.differences(wanted, f"disk full at {largest}")
    return different


def crowded(walk: Walk, step: str, wanted: dict[str, str]) -> list[str]:
    """Two runs of one step at once: each ends well, and nothing differs."""
    walk.restore(step)
    other = os.fork()
    if other == 0:
        os._exit(abs(walk.attempt(step)[0]))
    status = [walk.attempt(step)[0], os.waitstatus_to_exitcode(os.waitpid(other, 0)[1])]
    return [*([] if status == [0, 0] else [f"two at once: {status}"]), *walk.differences(wanted, "two at once")]


def main() -> None:
    """Walk through all steps; write what differed to the result file, step by step."""
    walk = Walk(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
    for name in MODULES.split():
        importlib.import_module(f"konsil.{name}")
    os.environ["KONSIL_HOME"] = str(walk.home)
    thorough = int(os.environ.get("KONSIL_FUZZ", "1")) > 1
    result: dict[str, Any] = {}
    for step in STEPS:
        if step == "freeze":
            walk.sign()
        shutil.copytree(walk.home, walk.kept / step)
        started = time.monotonic()
        status, moments = walk.attempt(step)
        usual_s = time.monotonic() - started
        wanted = walk.tree()
        walk.home.rename(walk.kept / f"after {step}")
        kills, different = killed_on_and_on(walk, step, wanted, moments)
        different += starved(walk, step, wanted, (TINY_BYTES, SMALL_BYTES) if thorough else (TINY_BYTES,))
        different += crowded(walk, step, wanted)
        if thorough:
            different += killed_everywhere(walk, step, wanted, moments, usual_s)
        result[step] = {"status": status, "moments": moments, "kills": kills, "different": different, "files": wanted}
        walk.out.write_text(json.dumps(result))
        walk.restore(f"after {step}")


if __name__ == "__main__":
    main()
