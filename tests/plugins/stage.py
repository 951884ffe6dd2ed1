"""Federations as they look after a while: several runs in the same homes, on a clock that is put forward.

Homes, keys, messages and rules are real; the learner is a formula, and time passes by decree. The clock ends at the
present, so that whoever opens the homes afterwards finds runs under way.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from konsil.evaluation.metrics import CaseMetrics
from konsil.federation.approval import CohortMark
from konsil.federation.charter import parse_charter
from konsil.federation.control import Action
from konsil.federation.enrolment_centre import init, invite
from konsil.federation.enrolment_site import join
from konsil.federation.enrolment_sites import accept_all
from konsil.federation.mailbox import Mailbox
from konsil.federation.steps import Abort, Finish, Train, Wait
from konsil.learners.protocol import Update
from konsil.parties import site as site_module
from konsil.parties.centre import CentreParty
from konsil.parties.ledger import Ledger
from konsil.parties.party import Party
from konsil.parties.policies import revoke_policy, sign_policy
from konsil.parties.records import learner_mark
from konsil.parties.site import SiteParty
from konsil.parties.steering import say, say_farewell
from konsil.storage.folder import FolderStore
from konsil.trust.membership import membership
from konsil.trust.roster import CENTRE
from konsil.types import Tensors

CASES = {"A": 42, "B": 18, "C": 65, "D": 27, "E": 30, "F": 12}
MINUTES = {"A": 11.0, "B": 6.5, "C": 17.0, "D": 9.0, "E": 8.0, "F": 5.0}


class Shifted(FolderStore):
    """A store whose clock can be put forward; it also stamps the objects."""

    shift = timedelta()

    def now(self) -> Any:
        return super().now() + self.shift

    def put(self, bucket: str, key: str, content: Any, size: int | None = None) -> None:
        super().put(bucket, key, content, size)
        os.utime(self.path / bucket / key, times=(self.now().timestamp(),) * 2)


@dataclass(frozen=True)
class Cohort:
    """So many cases with nothing in them."""

    name: str
    cases: int
    channels: tuple[str, ...] = ("T1w", "FLAIR")
    labels: Mapping[str, int] = field(default_factory=lambda: {"background": 0, "lesion": 1})

    def split(self, name: str) -> list[int]:
        return list(range({"train": self.cases, "validation": 5, "test": 6}[name]))


class Formula:
    """Loss falls and Dice rises with the rounds; sites differ a little. Training takes the site's minutes."""

    def __init__(self, name: str, town: Town) -> None:
        self.name, self.town = name, town

    def fingerprint(self, cohort: Any) -> dict[str, Any]:
        return {"cases": len(cohort.split("train"))}

    def plan(self, fingerprints: Any) -> dict[str, Any]:
        return {"size": 60_000}

    def prepare(self, cohort: Any, recipe: Any) -> None:
        return

    def initial(self, recipe: Any) -> Tensors:
        return {"w": np.zeros(recipe["size"], np.float32)}

    def train(self, cohort: Any, recipe: Any, tensors: Tensors, round: int) -> Update:  # noqa: A002
        self.town.pass_time(60 * MINUTES[self.name])
        if round in self.town.spoiled.get(self.name, ()):
            return Update({"w": tensors["w"] + np.float32("nan")}, len(cohort.split("train")), 250, {"loss": 0.9})
        off = (ord(self.name) - 66) / 60 + 0.02 * math.sin(3 * round + ord(self.name))
        figures = {"loss": 0.18 + 0.75 * math.exp(-round / 5) - off, "dice": 0.74 * (1 - math.exp(-round / 4)) + off}
        return Update({"w": tensors["w"] + np.float32(1)}, len(cohort.split("train")), 250, figures)

    def baseline(self, cohort: Any, recipe: Any, tensors: Tensors) -> Tensors:
        return dict(tensors)

    def evaluate(self, cohort: Any, recipe: Any, tensors: Tensors, split: Any) -> list[CaseMetrics]:
        score = {"lesion": 0.7}
        return [CaseMetrics(str(case), score, score, {"lesion": None}, score, score) for case in cohort.split(split)]

    def save(self, recipe: Any, tensors: Tensors, folder: Path) -> None:
        np.savez(folder / "formula.npz", **tensors)


@dataclass
class Town:
    """Centre and sites with their homes below `root`; `hours` before now, time begins."""

    root: Path
    sites: tuple[str, ...] = tuple(CASES)
    hours: float = 8.0
    spoiled: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.store = Shifted(self.root / "store")
        self.store.shift = -timedelta(hours=self.hours)
        init(self.home(CENTRE), self.store.path.resolve().as_uri())
        for site in self.sites:
            invite(self.home(CENTRE), site, self.root / f"{site}.pass")
            join(self.home(site), self.root / f"{site}.pass")
        accept_all(self.home(CENTRE))

    def home(self, name: str) -> Path:
        return self.root / name

    def pass_time(self, seconds: float) -> None:
        self.store.shift += timedelta(seconds=seconds)

    def propose(self, run: str, **rules: Any) -> None:
        """Publish a charter."""
        charter = parse_charter({"run": run, "sites": list(self.sites), "compare_with_local": False, **rules})
        Ledger(self.home(CENTRE), run).keep_charter(charter)
        self.work(run, CENTRE)

    def decide(self, run: str, site: str, reason: str = "") -> None:
        """The custodian accepts, or refuses with a reason, and the site says so."""
        self.pass_time(240)
        cohort = None if reason else f"ms-{site.lower()}"
        Ledger(self.home(site), run).decide(accepted=not reason, by="custodian", cohort=cohort, reason=reason)
        self.work(run, site)

    def party(self, run: str, name: str) -> Party:
        me = membership(self.home(name))
        folder = self.home(name) / "runs" / run
        box = Mailbox(
            self.store, me=name, run=run, identity=me.identity, roster=me.roster, folder=folder, home=self.home(name)
        )
        learner_for: Any = lambda charter: Formula(name, self)  # noqa: E731
        if name == CENTRE:
            return CentreParty(self.home(name), box, learner_for)
        cohort: Any = Cohort(f"ms-{name.lower()}", CASES[name])
        return SiteParty(self.home(name), box, learner_for, lambda chosen: cohort)

    def work(self, run: str, *names: str, rounds: int | None = None) -> None:
        """Let parties work until they wait or end; `rounds`: until training of a round after that would begin."""
        with self.clock():
            for name in names:
                party, minute = self.party(run, name), self.store.shift
                while not isinstance(step := party.next(), Wait | Finish | Abort):
                    if isinstance(step, Train) and rounds is not None and step.round > rounds:
                        break
                    party.do(step)
                if name != CENTRE:  # sites work side by side: only the slowest decides how long it took
                    self.late = max(getattr(self, "late", minute), self.store.shift)
                    self.store.shift = minute + timedelta(seconds=2)

    def rounds(self, run: str, last: int, *names: str) -> None:
        """Everybody of `names` works until the global model of round `last` is there."""
        while (self.party(run, CENTRE).look().latest_global() or 0) < last:
            self.late = self.store.shift
            for name in sorted(names, key=lambda one: MINUTES[one]):
                self.work(run, name, rounds=last)
            self.store.shift = self.late
            self.work(run, CENTRE)

    @contextmanager
    def clock(self) -> Iterator[None]:
        """Seconds of training are those of the town's clock."""
        before, town = site_module.time, self
        site_module.time = SimpleNamespace(monotonic=lambda: town.store.shift.total_seconds())  # type: ignore[assignment]
        try:
            yield
        finally:
            site_module.time = before


LONG, PILOT = "ms-lesions-2026", "pilot-2026"


def busy_town(root: Path) -> Town:
    """One run with everything that can happen under way, and others: ended, aborted, paused, proposed."""
    town = Town(root, hours=4.785, spoiled={"D": (3,)})
    pilot(town)
    others(town)
    quorum = {"sites": 2, "share_of_cases": 0.3}
    rules = {"rounds": 20, "extra_rounds": 5, "quorum": quorum, "deadlines": {"round_s": 1500}}
    town.propose(LONG, title="MS lesions on T1w and FLAIR, six hospitals", **rules)
    for site in "ABCDF":
        town.decide(LONG, site)
    town.decide(LONG, "E", "Our ethics board has not agreed to this label yet.")
    town.work(LONG, CENTRE)
    chaos(town)
    policies_at(town, "A")
    town.work(LONG, "A")
    return town


def pilot(town: Town) -> None:
    """A small run that was released."""
    town.propose(PILOT, title="Pilot with two rounds", rounds=2, sites=["A", "B", "C"])
    for site in "ABC":
        town.decide(PILOT, site)
    town.rounds(PILOT, 2, *"ABC")
    for name in (*"ABC", CENTRE, *"ABC", CENTRE):
        town.work(PILOT, name)


def chaos(town: Town) -> None:
    """An update that cannot be averaged, a site excluded, one that falls silent, one that leaves."""
    town.rounds(LONG, 4, *"ABCDF")
    say(town.party(LONG, CENTRE), Action.EXCLUDE, site="F", why="labels are shifted by one slice")  # type: ignore[arg-type]
    town.rounds(LONG, 6, *"ABCD")
    for name in "ABC":
        town.work(LONG, name, rounds=7)
    town.pass_time(1560)
    town.work(LONG, CENTRE)
    town.rounds(LONG, 8, *"ABC")
    say_farewell(town.party(LONG, "B"), why="scanner replaced")  # type: ignore[arg-type]
    town.rounds(LONG, 9, *"AC")


def others(town: Town) -> None:
    """A run that was aborted, one that is paused, one that waits for the custodians."""
    for run, title in (("flair-only-2026", "FLAIR only"), ("site-effects-2026", "Site effects")):
        town.propose(run, title=title, sites=["A", "B", "C"], rounds=10)
        for site in "ABC":
            town.decide(run, site)
    town.rounds("site-effects-2026", 1, *"ABC")
    say(town.party("flair-only-2026", CENTRE), Action.ABORT, why="wrong channel order in the charter")  # type: ignore[arg-type]
    say(town.party("site-effects-2026", CENTRE), Action.PAUSE, why="maintenance until Monday")  # type: ignore[arg-type]
    for name in (CENTRE, *"ABC"):
        town.work("flair-only-2026", name)
    town.propose("small-lesions-2026", title="Small lesions, with noise", sites=["A", "B", "C"], rounds=30)
    town.party("small-lesions-2026", "A").next()


def policies_at(town: Town, site: str) -> None:
    """Two standing policies made of the pilot's charter, one of them revoked."""
    home, charter = town.home(site), town.party(PILOT, CENTRE).ledger.charter()
    cohort, learner = (
        CohortMark(name=f"ms-{site.lower()}", sha256="5a" * 32, cases=CASES[site]),
        learner_mark("nnunet", ""),
    )
    for name in ("small-pilots", "first-try"):
        sign_policy(home, charter, learner=learner, cohort=cohort, by="custodian", name=name)
    revoke_policy(home, "first-try", by="custodian", reason="too wide")
