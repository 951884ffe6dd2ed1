"""When to wake up: cheap questions for triggers and sensors. They look, and change nothing but pins and audit log."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from konsil.federation.slot import Kind, Slot
from konsil.federation.steps import Phase, Wait
from konsil.parties.ledger import Ledger
from konsil.parties.opening import mailbox_of, open_party
from konsil.trust.roster import CENTRE


def ready(home: Path, run: str, phase: str | None = None) -> bool:
    """Whether my next step is anything but Wait; also True when the run has ended.

    With `phase`, deeds of earlier phases do not count: they are another task's business.
    """
    return watch(home, run, phase)()


def watch(home: Path, run: str, phase: str | None = None) -> Callable[[], bool]:
    """`ready` for asking again and again: what was verified once is not fetched again."""
    party = open_party(home, run)
    wanted = Phase(phase) if phase else Phase.CHARTER

    def look() -> bool:
        step = party.next()
        return not isinstance(step, Wait) and not wanted.is_after(step.phase)

    return look


def addressed_charters(home: Path) -> list[str]:
    """Runs whose charter names this site and that it has neither decided on nor answered, sorted."""
    return [run for run in runs_at(home) if _is_open(home, run)]


def runs_at(home: Path) -> list[str]:
    """All runs that this home can see."""
    from konsil.federation.mailbox import open_store, runs

    return runs(open_store(home))


def _is_open(home: Path, run: str) -> bool:
    if Ledger(home, run).decision() is not None:
        return False
    mailbox = mailbox_of(home, run)
    held = {letter.slot for letter in mailbox.letters()}
    return Slot(Kind.charter, CENTRE) in held and not held & {Slot(Kind.answer, mailbox.me), Slot(Kind.final, CENTRE)}
