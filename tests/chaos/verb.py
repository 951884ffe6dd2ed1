"""`konsil` as it is, with the fast learner in its registry, and able to die: python tests/chaos/verb.py WORDS…

CHAOS_DIE_AT=n kills the process (SIGKILL to itself, so nothing is tidied up) at the n-th moment at which something may
be half done: before a request to the store, while it is being sent, after it, before and after a file of the home is
moved to its place, in the middle of a training. CHAOS_CLOCK_S=s puts this process's clock ahead by s seconds, behind
if s is negative: everything that asks Python's `time` or `datetime` what time it is, konsil, minio and urllib3 alike.
"""

from __future__ import annotations

import datetime
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))


def shift_clock(seconds: float) -> None:
    """Put the clock ahead before anything else is imported; monotonic clocks stay, as with a wrongly set machine."""
    honest, honest_ns = time.time, time.time_ns
    time.time = lambda: honest() + seconds
    time.time_ns = lambda: honest_ns() + int(seconds * 1e9)
    real = datetime.datetime

    class Meta(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, real)

    class Shifted(real, metaclass=Meta):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return real.now(tz) + datetime.timedelta(seconds=seconds)

        @classmethod
        def utcnow(cls) -> Any:
            return real.now(datetime.UTC).replace(tzinfo=None) + datetime.timedelta(seconds=seconds)

    datetime.datetime = Shifted  # type: ignore[misc]


class Fate:
    """Counts the moments, and ends the process at one of them."""

    def __init__(self, die_at: int) -> None:
        self.left = die_at

    def moment(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, work: Callable[..., Any]) -> Callable[..., Any]:
        """`work` with a moment before, one at some time during it, and one after."""

        def watched(*args: Any, **named: Any) -> Any:
            self.moment()
            if self.left == 1:  # die during the work: within the few milliseconds it takes
                self.left = 0
                threading.Timer(random.uniform(0, 0.01), lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
            found = work(*args, **named)
            self.moment()
            return found

        return watched


def tempt(die_at: int) -> None:
    """Let fate watch the store, the files of the home and the training."""
    from konsil.storage.s3 import S3Store
    from tests.chaos.learner import FastLine

    fate = Fate(die_at)
    for name in ("put", "get", "list", "now"):
        setattr(S3Store, name, fate.around(getattr(S3Store, name)))
    os.replace = fate.around(os.replace)
    FastLine.train = fate.around(FastLine.train)  # type: ignore[method-assign]


def main() -> None:
    """The verb."""
    if shift := float(os.environ.get("CHAOS_CLOCK_S", "0")):
        shift_clock(shift)
    from konsil.cli.app import main as konsil
    from konsil.learners import registry

    registry.LEARNERS["line"] = "tests.chaos.learner:FastLine"
    if die_at := int(os.environ.get("CHAOS_DIE_AT", "0")):
        tempt(die_at)
    konsil()


if __name__ == "__main__":
    main()
