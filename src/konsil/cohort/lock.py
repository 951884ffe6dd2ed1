"""One process per case at a time.

Two runs on one cohort may overlap: a person types a command while the DAG works, or the machine of a killed task still
breathes when its successor begins. Each step of a case is therefore done under a lock; the second run waits, finds the
work done and goes on. The lock is a byte of `work/<cohort>/.lock` (POSIX record locks: they end with the process and
hold across machines on NFS); the file itself stays and is empty.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from konsil.cohort.folder import CohortFolder
from konsil.errors import Unavailable

log = logging.getLogger(__name__)

PATIENCE_S = 900.0
"""Longer than any step takes for one case."""
POLL_S = 0.5


@contextmanager
def alone(cohort: CohortFolder, what: str) -> Iterator[None]:
    """Hold `what` (a case, or "freeze") of a cohort while the block runs; wait for another process that holds it.

    Raises `Unavailable` if that process does not let go within `PATIENCE_S`.
    """
    cohort.work.mkdir(parents=True, exist_ok=True)
    byte = int.from_bytes(hashlib.sha256(what.encode()).digest()[:7])
    with (cohort.work / ".lock").open("ab") as file:
        if not taken(file, byte):
            log.info("another run works on %s; waiting for it", what)
            wait(file, byte, what)
        yield


def wait(file: IO[bytes], byte: int, what: str) -> None:
    """Ask again until the byte is free."""
    until = time.monotonic() + PATIENCE_S
    while not taken(file, byte):
        if time.monotonic() > until:
            raise Unavailable(f"another run works on {what}", hint="Wait until it has ended, then run the step again")
        time.sleep(POLL_S)


def taken(file: IO[bytes], byte: int) -> bool:
    """Try to take one byte's lock."""
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
    except (BlockingIOError, PermissionError):
        return False
    return True
