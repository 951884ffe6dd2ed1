"""Looking out for thousands of runs at hardly more than the price of one, for triggers that wait without a worker.

A run is opened (its manifests fetched and verified, the rules asked) only when something may have changed the answer:
the listings of the others' buckets, a file of the home (which tells of what this party posts), or the moment until
which the rules said to wait. In between, a look is one listing per bucket and a few `stat`; remembered of a quiet run
are a hash and the step. All runs share one client of the store, and the last few parties that moved are kept open.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from konsil.errors import KonsilError, Unavailable
from konsil.federation.mailbox import open_store, owners, runs
from konsil.federation.mailbox_keys import LOOK_S, WATCHED
from konsil.federation.slot import Kind, Slot
from konsil.federation.steps import Abort, Finish, Phase, Step, Wait
from konsil.files import file_mark
from konsil.parties.ledger import Ledger
from konsil.parties.opening import mailbox_of, open_party
from konsil.parties.party import Party
from konsil.storage.store import Store
from konsil.trust.membership import Membership, membership
from konsil.trust.roster import CENTRE, bucket_of

OPEN = 8  # parties that stay open
OF_A_RUN = ("charter.json", "decision.json", "held.json", "prepared.json", "refused.json", "stored.json")
SEEN = "pins.json"  # grows with every message that is posted or received here, by whichever process
LOOKS_PER_WAIT = 16  # a wait becomes a sixteenth longer at most than it had to be
DOWN_S = 2.0  # pause for all after a look that the store did not answer
CHARTER_S = 600.0  # longest pause between two looks at the charter of a run


@dataclass(frozen=True)
class Seen:
    """What the rules said last, of what, and when (monotonic seconds) they may say something else of the same."""

    state: str
    step: Step
    due: float = float("inf")
    begin: int = 0  # the round that the present stretch follows
    more: bool = True  # whether the charter, as far as it is known, allows an extension


@dataclass(frozen=True)
class Asked:
    """Whether a charter was open to this site; monotonic seconds of the first look and of the next."""

    began: float
    again: float = 0.0
    is_open: bool = False


@dataclass(frozen=True)
class Stretch:
    """The round that an extension follows, 0 for none that is under way; monotonic seconds of the next look."""

    after: int
    again: float


class Lookout:
    """Answers for every run of one home. One look at a time: threads that ask meanwhile wait for it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._alone = threading.Lock()
        self._member: tuple[str, Membership, Store] | None = None
        self._seen: dict[str, Seen] = {}
        self._open: OrderedDict[str, Party] = OrderedDict()
        self._down: tuple[float, Unavailable] | None = None
        self._closed: set[str] = set()
        self._charters: dict[str, Asked] = {}
        self._stretches: dict[str, Stretch] = {}

    def ready(self, run: str, phase: str | None = None) -> bool:
        """Whether my next step is anything but Wait, and of `phase` or a later one; also True when the run has ended.

        Raises `KonsilError` where the home or the store cannot be used.
        """
        with self._looking():
            step = self._step(run)
        return not isinstance(step, Wait) and not Phase(phase or Phase.CHARTER).is_after(step.phase)

    def quiet_s(self, run: str, since: float) -> float:
        """Seconds since something happened in a run as far as this home knows; `since` (epoch) where it knows nothing.

        Other processes of this home count too: what they post and receive is written down beside the run.
        """
        files = [self.home / "runs" / run / name for name in (SEEN, *OF_A_RUN)]
        return max(
            0.0, time.time() - max((stamp for path in files if (stamp := file_mark(path)[1] / 1e9)), default=since)
        )

    def addressed_charters(self) -> list[str]:
        """Runs whose charter names this site and that it has neither decided on nor answered, sorted."""
        with self._looking():
            return [run for run in runs(self._membership()[2]) if self._is_open(run)]

    def extensions(self) -> list[tuple[str, int]]:
        """Runs that go on after their end and have not ended again for this party, with the round they follow."""
        with self._looking():
            known = sorted(path.name for path in (self.home / "runs").glob("*/"))
            return [(run, after) for run in known if (after := self._extended(run))]

    @contextmanager
    def _looking(self) -> Iterator[None]:
        """One look; for a few seconds after one that the store did not answer, the others hear the same at once."""
        with self._alone:
            if self._down is not None and time.monotonic() < self._down[0]:
                raise self._down[1]
            self._down = None
            try:
                yield
            except Unavailable as error:
                self._down = (time.monotonic() + DOWN_S, error)
                raise

    def _step(self, run: str) -> Step:
        """The next step; asked of the rules only if it may be another than last time."""
        state, seen = self._state(run), self._seen.get(run)
        if seen is not None and seen.state == state and time.monotonic() < seen.due:
            return seen.step
        party = self._party(run)
        step, due = party.next(), float("inf")
        if isinstance(step, Wait) and step.until is not None:
            due = time.monotonic() + max(0.5, (step.until - party.mailbox.now()).total_seconds())
        if party.mailbox.refused:  # new keys of its sender, which lie elsewhere, may make it good
            due = min(due, time.monotonic() + LOOK_S)
        charter, begin = party.charter(), party.course.begin if party.course else 0
        self._seen[run] = Seen(state, step, due, begin, charter is None or charter.extra_rounds > 0)
        return step

    def _state(self, run: str) -> str:
        """A hash of everything but the clock that the rules look at."""
        home, member, store = self._membership()
        files = [
            file_mark(self.home / "runs" / run / name) for name in (SEEN, *OF_A_RUN)
        ]  # SEEN: what we post ourselves
        buckets = [bucket_of(owner) for owner in owners(member.me, member.roster) if owner != member.me]
        listed = [[(e.key, e.size, e.modified) for e in store.list(bucket, f"{run}/")] for bucket in buckets]
        return hashlib.sha256(repr((home, files, listed)).encode()).hexdigest()

    def _membership(self) -> tuple[str, Membership, Store]:
        """What lies in the home by its marks, who lives there, and the store; read anew when the home has changed."""
        marks = repr([file_mark(self.home / name) for name in (*WATCHED, "centre.json", "ca.pem")])
        if self._member is None or self._member[0] != marks:
            self._open.clear()
            self._member = (marks, membership(self.home), open_store(self.home))
        return self._member

    def _party(self, run: str) -> Party:
        """The party of a run: one that is open, or a new one."""
        party = self._open.pop(run, None) or open_party(self.home, run, self._membership()[2])
        self._open[run] = party
        if len(self._open) > OPEN:
            self._open.popitem(last=False)
        return party

    def _is_open(self, run: str) -> bool:
        """Whether a run waits for this site's decision. One that has not changed is asked ever more rarely."""
        asked = self._charters.get(run) or Asked(time.monotonic())
        if run in self._closed or time.monotonic() < asked.again:
            return run not in self._closed and asked.is_open
        mailbox = mailbox_of(self.home, run, self._membership()[2])
        over = (Slot(Kind.answer, mailbox.me), Slot(Kind.final, CENTRE))
        if Ledger(self.home, run).decision() is not None or any(mailbox.letter(slot) for slot in over):
            self._closed.add(run)
            return False
        is_open = mailbox.letter(Slot(Kind.charter, CENTRE)) is not None
        again = time.monotonic() + min((time.monotonic() - asked.began) / LOOKS_PER_WAIT, CHARTER_S)
        self._charters[run] = Asked(asked.began, again, is_open)
        return is_open

    def _extended(self, run: str) -> int:
        """The round that an extension follows which is under way. Long quiet runs are looked at ever more rarely."""
        known = self._stretches.get(run)
        if known is not None and time.monotonic() < known.again:
            return known.after
        pause, after = min(self.quiet_s(run, time.time()) / LOOKS_PER_WAIT, CHARTER_S), 0
        try:
            step, seen = self._step(run), self._seen[run]
        except Unavailable:
            raise
        except KonsilError:  # a folder that is no run of ours, or a run that cannot be read: others go on
            pause = CHARTER_S
        else:
            after = 0 if isinstance(step, Finish | Abort) else seen.begin
            pause = pause if seen.more else float("inf")
        self._stretches[run] = Stretch(after, time.monotonic() + pause)
        return after


@cache
def lookout(home: Path) -> Lookout:
    """The one lookout of this process for a home."""
    return Lookout(home)
