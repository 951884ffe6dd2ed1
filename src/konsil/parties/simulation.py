"""A whole federation on one machine: centre and sites with their own keys and homes, a folder as store.

Nothing is pretended but the distance: the same parties, messages and encryption as between hospitals. Sites take turns
in this process, or side by side in `workers` processes (each site always in the same one, so that it stays warm); the
result is the same, because sums run in charter order.

    OUT/store/<bucket>/…     what a real store would hold
    OUT/centre/, OUT/sites/<site>/     homes: keys, runs/<run>, models/<run>
"""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from konsil.cohort.frozen import read_frozen
from konsil.errors import BadInput, KonsilError
from konsil.federation.charter import Charter
from konsil.federation.course import Course
from konsil.federation.mailbox import Mailbox
from konsil.federation.steps import Abort, Finish, Step, Wait
from konsil.files import read_json
from konsil.parties.centre import CentreParty
from konsil.parties.ledger import Ledger
from konsil.parties.loop import Ending
from konsil.parties.opening import learner_at
from konsil.parties.party import LearnerFor, Party
from konsil.parties.sinks import Sink, Watched
from konsil.parties.site import SiteParty
from konsil.parties.start import keep_given
from konsil.storage.folder import FolderStore
from konsil.trust.identity import Identity
from konsil.trust.membership import Connection
from konsil.trust.roster import CENTRE, Roster
from konsil.types import Json

Show = Callable[[str, Step], None]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Seat:
    """One party of a simulation: its name and, for a site, the folder of its frozen cohort."""

    out: Path
    run: str
    name: str
    cohort: Path | None = None

    @property
    def home(self) -> Path:
        """Its home."""
        return self.out / "centre" if self.name == CENTRE else self.out / "sites" / self.name


@dataclass
class Simulation:
    """The federation of `charter` below `out`; `cohorts` maps every site to the folder of a frozen cohort.

    Started again with the same charter it goes on where it stopped. `start` is the folder of the model that the charter
    starts from; `sink` gets the centre's figures. `learner_for(home)` is for tests.
    """

    charter: Charter
    cohorts: Mapping[str, Path]
    out: Path
    workers: int = 1
    start: Path | None = None
    learner_for: Callable[[Path], LearnerFor] = field(default=learner_at)
    sink: Sink = field(default_factory=lambda: Watched([]))

    def run(self, show: Show = lambda name, step: None) -> Ending:
        """Work to the end. Raises BadInput for cohorts that do not fit, KonsilError for a site that cannot go on."""
        self._furnish()
        centre = sit_down(self._seat(CENTRE), self.learner_for)
        centre.sink = self.sink
        with ExitStack() as stack:
            spawn = multiprocessing.get_context("spawn")
            count = min(self.workers, len(self.charter.sites)) if self.workers > 1 else 0
            pools = [stack.enter_context(ProcessPoolExecutor(1, mp_context=spawn)) for _ in range(count)]
            while True:
                last = turn(centre, lambda step: show(CENTRE, step))
                moved = self._side_by_side(pools) if pools else self._one_by_one(show)
                if isinstance(last, Finish | Abort):
                    return self._ending(last, centre)
                if not moved and isinstance(centre.next(), Wait):
                    raise KonsilError(f"The simulation does not go on; it waits {getattr(last, 'why', 'for nothing')}")

    def _ending(self, last: Finish | Abort, centre: Party) -> Ending:
        newest = centre.look().latest_global()
        return Ending("finished" if isinstance(last, Finish) else "aborted", last.why, newest, last.phase)

    @property
    def course(self) -> Course | None:
        """Where the run is going, once the centre has looked."""
        return sit_down(self._seat(CENTRE), self.learner_for).course

    @property
    def summary(self) -> Json:
        """The figures of the ended run."""
        return read_json(self.report.with_name("summary.json"))

    @property
    def report(self) -> Path:
        """The federation report of the ended run."""
        return Ledger(self._seat(CENTRE).home, self.charter.run).report

    def _seat(self, name: str) -> Seat:
        return Seat(self.out, self.charter.run, name, self.cohorts.get(name))

    def _one_by_one(self, show: Show) -> bool:
        """One turn of every site; whether any of them did something."""
        moved = [moves(sit_down(self._seat(site), self.learner_for), site, show) for site in self.charter.sites]
        return any(moved)

    def _side_by_side(self, pools: list[ProcessPoolExecutor]) -> bool:
        """The same in processes, every site always in the same one."""
        seats = [self._seat(site) for site in self.charter.sites]
        turns = [pools[place % len(pools)].submit(take_turn, seat) for place, seat in enumerate(seats)]
        return any([future.result() for future in turns])  # noqa: C419 - all have to end

    def _furnish(self) -> None:
        """Make homes, keys, the roster, the charter's copy and the decisions, as far as they are not there yet."""
        if set(self.cohorts) != set(self.charter.sites):
            sites, got = ", ".join(self.charter.sites), ", ".join(sorted(self.cohorts))
            raise BadInput("The cohorts do not fit the charter", expected=f"one per site ({sites})", got=got or "none")
        cohorts = {site: read_frozen(path).name for site, path in self.cohorts.items()}
        seats = {name: self._seat(name) for name in (CENTRE, *self.charter.sites)}
        keys = {name: Identity.keep(seat.home).public for name, seat in seats.items()}
        home = seats[CENTRE].home
        Roster(centre=keys[CENTRE], sites={site: keys[site] for site in self.charter.sites}).save(home)
        Connection(endpoint=(self.out / "store").resolve().as_uri()).save(home)
        Ledger(home, self.charter.run).keep_charter(self.charter.model_copy(update={"workflow": None}))  # nobody asks
        if self.start is not None:
            keep_given(self.start, Ledger(home, self.charter.run).folder)
        for site, cohort in cohorts.items():
            Ledger(seats[site].home, self.charter.run).decide(accepted=True, by="simulation", cohort=cohort)


def sit_down(seat: Seat, learner_for: Callable[[Path], LearnerFor] = learner_at) -> Party:
    """The party of a seat, kept for the next turn so that data and network stay warm."""
    return _party(seat, learner_for)


@cache
def _party(seat: Seat, learner_for: Callable[[Path], LearnerFor]) -> Party:
    roster, store = Roster.load(seat.out / "centre"), FolderStore(seat.out / "store")
    folder = seat.home / "runs" / seat.run
    mailbox = Mailbox(
        store, me=seat.name, run=seat.run, identity=Identity.load(seat.home), roster=roster, folder=folder
    )
    cohort = seat.cohort
    if cohort is None:
        return CentreParty(seat.home, mailbox, learner_for(seat.home))
    return SiteParty(seat.home, mailbox, learner_for(seat.home), lambda name: read_frozen(cohort))


def turn(party: Party, show: Callable[[Step], None]) -> Step:
    """Let a party work until it waits or has ended; the step it stopped at."""
    while True:
        step = party.next()
        show(step)
        party.do(step)
        if isinstance(step, Wait | Finish | Abort):
            return step


def moves(party: Party, name: str, show: Show) -> bool:
    """One turn of a party; whether it did something."""
    steps: list[Step] = []

    def note(step: Step) -> None:
        steps.append(step)
        show(name, step)

    turn(party, note)
    return len(steps) > 1


def take_turn(seat: Seat) -> bool:
    """One turn of a site in a worker process; whether it did something."""
    return moves(sit_down(seat), seat.name, lambda name, step: None)
