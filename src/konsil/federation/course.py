"""Where a run is going: what the charter planned, and what operator and sites have said since.

A run is a row of **stretches**: the charter's rounds, then one stretch per extension. Every stretch ends with a word of
its own in `final`, so nothing that was released is ever taken back. All of it is a function of what the buckets hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from konsil.federation.charter import Charter
from konsil.federation.control import Action, Control, controls
from konsil.federation.holdings import Holdings, Note
from konsil.federation.progress import stopped_early
from konsil.federation.slot import Kind

Pause = tuple[datetime, datetime]


@dataclass(frozen=True)
class Course:
    """The present stretch goes from after round `begin` (0 = the first weights) to round `end`.

    `last`: the round training has ended with, None while it goes on. `pauses`: begin and end of each that is over.
    `excluded`, `left`: sites that are out for good, by the operator's word and by their own; `revoked`: whose keys the
    centre has withdrawn. `openings`: when the first round of each extension was called, by round.
    """

    begin: int
    end: int
    last: int | None = None
    pauses: tuple[Pause, ...] = ()
    paused: Control | None = None
    aborted: Control | None = None
    excluded: Mapping[str, Control] = field(default_factory=dict)
    left: Mapping[str, datetime] = field(default_factory=dict)
    revoked: frozenset[str] = frozenset()
    openings: Mapping[int, datetime] = field(default_factory=dict)

    @property
    def final_round(self) -> int | None:
        """Where the last word of this stretch lies: `final`, after an extension `final/<begin>`."""
        return self.begin or None

    @property
    def gone(self) -> dict[str, str]:
        """Sites that are out for good: "left", "excluded" or "revoked"."""
        return {**dict.fromkeys(self.left, "left"), **dict.fromkeys(self.shut_out, "excluded")} | dict.fromkeys(
            self.revoked, "revoked"
        )

    @property
    def shut_out(self) -> frozenset[str]:
        """Sites of which nothing counts that was not used yet: excluded by the operator, or revoked."""
        return self.revoked.union(self.excluded)

    def opened(self, number: int, before: datetime) -> datetime:
        """When round `number` was called, whose global model before it the store received at `before`."""
        return max(before, self.openings.get(number, before))

    def has_left(self, site: str, moment: datetime) -> bool:
        """Whether a site had left by `moment`."""
        return site in self.left and self.left[site] <= moment

    def after(self, opened: datetime, seconds: float) -> datetime:
        """The moment at which `seconds` have passed since `opened`, pauses not counted."""
        moment = opened + timedelta(seconds=seconds)
        for begin, end in self.pauses:
            if end > opened and begin < moment:
                moment += end - max(begin, opened)
        return moment

    def lasted(self, begin: datetime, end: datetime) -> float:
        """Seconds from `begin` to `end`, pauses not counted."""
        idle = sum(max(0.0, (min(end, stop) - max(begin, start)).total_seconds()) for start, stop in self.pauses)
        return (end - begin).total_seconds() - idle


def course_of(holdings: Holdings, charter: Charter) -> Course:
    """What holds now."""
    left = {site: note.at for site, note in holdings.by_site(Kind.leave).items() if site in charter.sites}
    revoked = holdings.revoked.intersection(charter.sites)
    course = Course(0, charter.rounds, left=left, revoked=revoked)
    for word in controls(holdings):
        course = _heard(course, word, holdings, charter)
    return replace(course, last=_last(course, holdings, charter))


def final_of(holdings: Holdings, charter: Charter) -> Note | None:
    """The last word of the present stretch, if it was spoken."""
    return holdings.note(Kind.final, round=course_of(holdings, charter).final_round)


def _heard(course: Course, word: Control, holdings: Holdings, charter: Charter) -> Course:
    """The course after one more word; a word that does not fit changes nothing."""
    match word.action:
        case Action.PAUSE if course.paused is None:
            return replace(course, paused=word)
        case Action.RESUME if course.paused is not None:
            return replace(course, paused=None, pauses=(*course.pauses, (course.paused.at, word.at)))
        case Action.ABORT if course.aborted is None:
            return replace(course, aborted=word)
        case Action.EXCLUDE if word.site in charter.sites and word.site not in course.excluded:
            return replace(course, excluded={**course.excluded, word.site: word})
        case Action.EXTEND if may_extend(holdings.note(Kind.final, round=course.final_round), word, charter):
            openings = {**course.openings, word.after + 1: word.at}
            return replace(course, begin=word.after, end=word.after + word.rounds, aborted=None, openings=openings)
    return course


def may_extend(final: Note | None, word: Control, charter: Charter) -> bool:
    """Whether an extension holds: after a release, from the round it ended with, within what the charter allows."""
    if final is None or final.facts.get("outcome") != "released":
        return False
    ended = ended_with(final)
    return ended == word.after and word.after + word.rounds <= charter.rounds + charter.extra_rounds


def ended_with(final: Note) -> int | None:
    """The round training ended with, as a last word says it (`round` before there was a choice of rounds)."""
    ended = final.facts.get("last", final.facts.get("round"))
    return ended if type(ended) is int else None


def _last(course: Course, holdings: Holdings, charter: Charter) -> int | None:
    early = stopped_early(holdings, charter, after=course.begin)
    newest = holdings.latest_global()
    last = course.end if early is None else min(early, course.end)
    return last if newest is not None and newest >= last else None
