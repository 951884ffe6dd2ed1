"""When to wake up: cheap questions for triggers and sensors. They look, and change nothing but pins and audit log."""

from __future__ import annotations

from pathlib import Path

from konsil.parties.lookout import Lookout


def ready(home: Path, run: str, phase: str | None = None) -> bool:
    """Whether my next step is anything but Wait; also True when the run has ended.

    With `phase`, deeds of earlier phases do not count: they are another task's business.
    """
    return Lookout(home).ready(run, phase)


def addressed_charters(home: Path) -> list[str]:
    """Runs whose charter names this site and that it has neither decided on nor answered, sorted."""
    return Lookout(home).addressed_charters()


def runs_at(home: Path) -> list[str]:
    """All runs that this home can see."""
    from konsil.federation.mailbox import open_store, runs

    return runs(open_store(home))
