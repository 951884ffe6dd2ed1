"""One process per case at a time; the lock ends with its process."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from konsil.cohort import lock
from konsil.cohort.folder import CohortFolder, SiteFolder
from konsil.cohort.lock import alone
from konsil.errors import Unavailable


@pytest.fixture
def cohort(tmp_path: Path) -> CohortFolder:
    return SiteFolder(tmp_path).cohort("ms")


def hold(cohort: CohortFolder, what: str) -> int:
    """Another process that holds a lock; returns its number once it does."""
    told = os.pipe()
    child = os.fork()
    if child == 0:
        with alone(cohort, what):
            os.write(told[1], b".")
            time.sleep(60)
    os.read(told[0], 1)
    return child


def test_a_second_run_is_told_who_works_there_in_words(cohort: CohortFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "PATIENCE_S", 0.0)
    monkeypatch.setattr(lock, "POLL_S", 0.01)
    child = hold(cohort, "sub-a_ses-1")
    try:
        with pytest.raises(Unavailable, match="another run works on sub-a_ses-1"), alone(cohort, "sub-a_ses-1"):
            pass
        with alone(cohort, "sub-b_ses-1"):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_killed_holder_holds_no_more(cohort: CohortFolder) -> None:
    child = hold(cohort, "sub-a_ses-1")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with alone(cohort, "sub-a_ses-1"):
        assert (cohort.work / ".lock").stat().st_size == 0
