"""How long a round may take where the charter does not say: by what each site has needed so far.

A site's **turnaround** in a round is the time from the global model to its update, both on the store's clock, pauses
not counted. The limit of round r is

    3 x the largest, over the sites, of the median turnaround of a site in its rounds r-5 … r-1,

at least 10 minutes, at most 7 days. Only updates count that had arrived when round r opened, late ones too, so that the
limit is fixed at that moment; a site that sent none in five rounds has no say. Where nobody has, it is one day.
"""

from __future__ import annotations

from datetime import datetime
from statistics import median

from konsil.federation.charter import DAY_S, Charter
from konsil.federation.course import Course
from konsil.federation.holdings import Holdings
from konsil.federation.slot import Kind

FACTOR = 3.0
MEMORY = 5
FLOOR_S = 600.0
CEILING_S = 7 * DAY_S
UNKNOWN_S = DAY_S
LEAST_BELOW_QUORUM_S = 2 * DAY_S
"""A fast federation is not given up because the network was down for an hour: so long a round waits for its quorum."""


def round_limit_s(holdings: Holdings, charter: Charter, course: Course, number: int, opened: datetime) -> float:
    """Seconds that round `number`, opened at `opened`, may take; preparation is not in it."""
    if charter.deadlines.round_s is not None:
        return charter.deadlines.round_s
    found = turnarounds(holdings, course, number, opened)
    needs = [median(found[site]) for site in charter.sites if site in found and site not in course.gone]
    if not needs:
        return UNKNOWN_S
    floor = UNKNOWN_S if number in course.openings else FLOOR_S  # after an extension, people have to start their sides
    return min(CEILING_S, max(floor, FACTOR * max(needs)))


def least_below_quorum_s(charter: Charter) -> float:
    """How long a round below its quorum goes on at least: no longer than twice its limit where the charter sets one."""
    return LEAST_BELOW_QUORUM_S if charter.deadlines.round_s is None else 0.0


def turnarounds(holdings: Holdings, course: Course, number: int, opened: datetime) -> dict[str, list[float]]:
    """Site → seconds it needed in the rounds before `number`, as far as known at `opened`."""
    found: dict[str, list[float]] = {}
    for earlier in range(max(1, number - MEMORY), number):
        before = holdings.note(Kind.global_, round=earlier - 1)
        for site, note in holdings.by_site(Kind.update, earlier).items():
            if before is not None and note.at <= opened:
                found.setdefault(site, []).append(course.lasted(course.opened(earlier, before.at), note.at))
    return found
