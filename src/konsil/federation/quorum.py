"""When a call to the sites closes, and with whom.

A call opens at a moment and has a deadline. It closes at the first moment at which every expected site has answered and
the quorum is met; else at the deadline, if the quorum is met then; else at the first answer that meets it. Answers that
came later than the closing moment do not count. All moments are the store's, so the outcome does not depend on when
somebody looks: a centre that was down for a day decides as it would have decided at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from konsil.federation.charter import Quorum


@dataclass(frozen=True)
class Closed:
    """The call is over; `sites` count, in charter order."""

    at: datetime
    sites: tuple[str, ...]


@dataclass(frozen=True)
class Open:
    """The call goes on, at the latest until `until`."""

    until: datetime


@dataclass(frozen=True)
class Failed:
    """The call ended below the quorum."""

    why: str


@dataclass(frozen=True)
class Call:
    """A call to `sites` (charter order) and what came of it.

    `answers`: when the store received each site's answer. `unusable`: sites whose answer does not count.
    `expected(moment)`: the sites worth waiting for, as known at that moment.
    `short(sites)`: what these sites lack to be a quorum; "" = nothing.
    `turns`: other moments at which what is expected may change (a site left).
    `least_s`: below its quorum, a call goes on for twice the limit, and at least so long.
    `after(moment, seconds)`: when so many seconds have passed; pauses do not count.
    """

    sites: tuple[str, ...]
    opened: datetime
    limit_s: float
    answers: Mapping[str, datetime]
    expected: Callable[[datetime], tuple[str, ...]]
    short: Callable[[tuple[str, ...]], str]
    unusable: frozenset[str] = field(default=frozenset())
    turns: tuple[datetime, ...] = ()
    least_s: float = 0.0
    after: Callable[[datetime, float], datetime] = lambda opened, seconds: opened + timedelta(seconds=seconds)

    @property
    def deadline(self) -> datetime:
        """Until here everybody is waited for."""
        return self.after(self.opened, self.limit_s)

    @property
    def end(self) -> datetime:
        """Until here a call below its quorum goes on."""
        return self.after(self.opened, max(2 * self.limit_s, self.least_s))

    def state(self, now: datetime) -> Closed | Open | Failed:
        """What the call has come to by `now`."""
        closed = self._closing(now)
        if closed is not None:
            return Closed(closed, self._usable(closed))
        why = self.short(self._usable(now))
        if why and (now >= self.end or all(site in self.answers for site in self.sites)):
            return Failed(why)
        return Open(self.deadline if now < self.deadline else self.end)

    def _closing(self, now: datetime) -> datetime | None:
        moments = sorted({*self.answers.values(), *(turn for turn in self.turns if self.opened < turn <= now)})
        for moment in moments:
            if moment <= self.deadline and self._all_in(moment) and not self.short(self._usable(moment)):
                return moment
        if now < self.deadline:
            return None
        late = [moment for moment in moments if moment > self.deadline]
        return next((at for at in [self.deadline, *late] if not self.short(self._usable(at))), None)

    def _all_in(self, moment: datetime) -> bool:
        return all(site in self.answers and self.answers[site] <= moment for site in self.expected(moment))

    def _usable(self, moment: datetime) -> tuple[str, ...]:
        came = [site for site in self.sites if site in self.answers and self.answers[site] <= moment]
        return tuple(site for site in came if site not in self.unusable)


def shortfall(quorum: Quorum, sites: tuple[str, ...], cases: Mapping[str, int] | None = None) -> str:
    """What `sites` lack to be a quorum, as half a sentence; "" = nothing. `cases` are those of all sites of the run."""
    absent = [name for name in quorum.required if name not in sites]
    if absent:
        return f"required and absent: {', '.join(absent)}"
    if len(sites) < quorum.sites:
        return f"{len(sites)} of at least {quorum.sites} sites"
    total = sum(cases.values()) if cases else 0
    share = sum(cases.get(name, 0) for name in sites) / total if cases and total else 1.0
    if share < quorum.share_of_cases:
        return f"{share:.0%} of the training cases, at least {quorum.share_of_cases:.0%} are needed"
    return ""
