"""A whole federation within reach: a learner that fits a line in microseconds, cohorts of numbers, a real store."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from konsil.evaluation.metrics import CaseMetrics
from konsil.federation.charter import Charter, parse_charter
from konsil.federation.enrolment_centre import init, invite
from konsil.federation.enrolment_site import join
from konsil.federation.enrolment_sites import accept_all
from konsil.federation.mailbox import Mailbox, open_mailbox
from konsil.federation.steps import Abort, Finish, Step, Wait
from konsil.learners.protocol import Update
from konsil.parties.centre import CentreParty
from konsil.parties.party import Party
from konsil.parties.site import SiteParty
from konsil.storage.folder import FolderStore
from konsil.trust.roster import CENTRE, gather
from konsil.types import Steering
from tests.parties.town import cohort, lines, town

__all__ = ["cohort", "lines", "town"]  # fixtures

CASES = {"A": 2, "B": 3, "C": 5}
SIZE = 4
STEPS = 3
RATE = np.float32(0.1)
TRUTH = np.array([1.0, -2.0, 0.5, 3.0], np.float32)
Model = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Numbers:
    """A cohort of a site: 2 rows of numbers per case."""

    name: str
    cases: int
    channels: tuple[str, ...] = ("T1w", "FLAIR")
    labels: Mapping[str, int] = field(default_factory=lambda: {"background": 0, "lesion": 1})

    def split(self, name: str) -> list[int]:
        return list(range({"train": self.cases, "validation": 1, "test": 2}[name]))

    def rows(self, split: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        draw = np.random.default_rng([ord(self.name[0].upper()), len(split)])
        x = draw.normal(size=(2 * len(self.split(split)), SIZE)).astype(np.float32)
        return x, x @ TRUTH + draw.normal(scale=0.1, size=len(x)).astype(np.float32)


class Line:
    """Least squares by a few steps down the gradient: real arithmetic, nothing remembered between rounds."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds

    def fingerprint(self, cohort: Numbers) -> dict[str, Any]:
        x, _ = cohort.rows("train")
        return {"rows": len(x), "sum": x.sum(axis=0).tolist()}

    def plan(self, fingerprints: Mapping[str, Any]) -> dict[str, Any]:
        return {"rows": sum(found["rows"] for found in fingerprints.values()), "size": SIZE}

    def prepare(self, cohort: Numbers, recipe: Any) -> None:
        assert recipe["size"] == SIZE

    def initial(self, recipe: Any) -> Model:
        return {
            "w": np.random.default_rng(1).normal(size=(recipe["size"], 1)).astype(np.float32),
            "n": np.zeros(1, np.int64),
        }

    def train(self, cohort: Numbers, recipe: Any, tensors: Model, round: int) -> Update:  # noqa: A002
        made = descend(cohort, tensors, STEPS)
        return Update(
            made, len(cohort.split("train")), STEPS, {"loss": loss(cohort, made, "train"), "dice": score(cohort, made)}
        )

    def baseline(self, cohort: Numbers, recipe: Any, tensors: Model) -> Model:
        return descend(cohort, tensors, STEPS * self.rounds)

    def evaluate(self, cohort: Numbers, recipe: Any, tensors: Model, split: Any) -> list[CaseMetrics]:
        value = score(cohort, tensors, split)
        one = {"lesion": value}
        return [
            CaseMetrics(f"sub-{cohort.name}{case}", one, one, {"lesion": None}, one, one)
            for case in cohort.split(split)
        ]

    def save(self, recipe: Any, tensors: Model, folder: Path) -> None:
        np.savez(folder / "line.npz", **tensors)


class Affine(Line):
    """A line with an offset `b`, its one normalisation layer, that can do all that strategies ask for.

    The setting `size` is the number of columns it looks at; `tensors` holds w (size, 1), b (1,) and a counter.
    """

    abilities = frozenset({"steering", "plain steps", "second model", "norms", "own plan"})

    def __init__(self, rounds: int, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__(rounds)
        self.size = int((settings or {}).get("size", SIZE))

    def plan(self, fingerprints: Mapping[str, Any]) -> dict[str, Any]:
        return {**super().plan(fingerprints), "size": self.size}

    def prepare(self, cohort: Numbers, recipe: Any) -> None:
        assert recipe["size"] == self.size

    def adapt(self, recipe: Any) -> dict[str, Any]:
        return {**recipe, "size": self.size}

    def norms(self, recipe: Any) -> tuple[str, ...]:
        return ("b",)

    def initial(self, recipe: Any) -> Model:
        return {**super().initial(recipe), "b": np.full(1, 0.25, np.float32)}

    def train(
        self,
        cohort: Numbers,
        recipe: Any,
        tensors: Model,
        round: int,  # noqa: A002
        *,
        steering: Steering | None = None,
        chain: str = "federated",
    ) -> Update:
        made = slide(cohort, tensors, STEPS, steering)
        return Update(made, len(cohort.split("train")), STEPS, {"loss": loss(cohort, made, "train")}, STEPS * 0.1)

    def baseline(self, cohort: Numbers, recipe: Any, tensors: Model) -> Model:
        return slide(cohort, tensors, STEPS * self.rounds)


def slide(cohort: Numbers, tensors: Model, steps: int, steering: Steering | None = None) -> Model:
    """Steps down the gradient of w and b, steered."""
    x, y = cohort.rows("train")
    w, b = tensors["w"].copy(), tensors["b"].copy()
    x, how = x[:, : len(w)], steering or Steering()
    for _ in range(steps):
        rest = (x @ w + b - y[:, None]) / np.float32(len(x))
        slopes = {"w": x.T @ rest, "b": rest.sum(axis=0)}
        for name, value in (("w", w), ("b", b)):
            if name in how.anchor:
                slopes[name] = slopes[name] + np.float32(how.pull) * (value - how.anchor[name])
            slopes[name] = slopes[name] + how.shift.get(name, np.float32(0))
        w, b = w - RATE * slopes["w"], b - RATE * slopes["b"]
    return {"w": w, "n": tensors["n"] + steps, "b": b}


def descend(cohort: Numbers, tensors: Model, steps: int) -> Model:
    x, y = cohort.rows("train")
    w = tensors["w"].copy()
    for _ in range(steps):
        w -= RATE * (x.T @ (x @ w - y[:, None])) / np.float32(len(x))
    return {"w": w, "n": tensors["n"] + steps}


def loss(cohort: Numbers, tensors: Model, split: str) -> float:
    x, y = cohort.rows(split)
    w = tensors["w"]
    return float(np.mean((x[:, : len(w)] @ w + tensors.get("b", np.float32(0)) - y[:, None]) ** 2))


def score(cohort: Numbers, tensors: Model, split: str = "validation") -> float:
    return 1 / (1 + loss(cohort, tensors, split))


class ShiftedStore(FolderStore):
    """A store whose clock a test can put forward; it also stamps the objects."""

    shift = timedelta()

    def now(self) -> datetime:
        return super().now() + self.shift

    def put(self, bucket: str, key: str, content: Any, size: int | None = None) -> None:
        super().put(bucket, key, content, size)
        os.utime(self.path / bucket / key, times=(self.now().timestamp(),) * 2)


@dataclass
class World:
    """A charter, a store, a home and keys for everybody, and parties made afresh whenever one is asked for."""

    root: Path
    charter: Charter
    learners: dict[str, Line] = field(default_factory=dict)
    kind: Callable[[Charter], Line] = lambda charter: Line(charter.rounds)

    def __post_init__(self) -> None:
        self.store = ShiftedStore(self.root / "store")
        self.identities, self.roster = gather(self.charter.sites)
        self.party(CENTRE).ledger.keep_charter(self.charter)
        for site in self.charter.sites:
            self.party(site).ledger.decide(accepted=True, by="custodian", cohort=site.lower() * 2)

    def home(self, name: str) -> Path:
        return self.root / name

    def mailbox(self, name: str) -> Mailbox:
        folder, run = self.home(name) / "runs" / self.charter.run, self.charter.run
        identity = self.identities[name]
        return Mailbox(self.store, me=name, run=run, identity=identity, roster=self.roster, folder=folder)

    def party(self, name: str) -> Party:
        """A fresh object, as after a restart."""
        learner_for: Any = lambda charter: self.learners.get(name) or self.kind(charter)  # noqa: E731
        if name == CENTRE:
            return CentreParty(self.home(name), self.mailbox(name), learner_for)
        cohort: Any = self.cohort(name)
        return SiteParty(self.home(name), self.mailbox(name), learner_for, lambda chosen: cohort)

    def learner(self, name: str) -> Line:
        return self.learners.get(name) or self.kind(self.charter)

    def cohort(self, name: str) -> Numbers:
        return Numbers(name.lower() * 2, CASES.get(name, 3))

    def spoil(self, name: str, change: Callable[[Model, int], Model]) -> None:
        """From now on the site `name` posts `change(tensors, round)` instead of its tensors."""
        learner = self.learners[name] = self.kind(self.charter)
        honest = learner.train

        def train(cohort: Numbers, recipe: Any, tensors: Model, round: int, **how: Any) -> Update:  # noqa: A002
            update = honest(cohort, recipe, tensors, round, **how)
            return replace(update, tensors=change(dict(update.tensors), round))

        learner.train = train  # type: ignore[method-assign]

    def work(self, *names: str) -> dict[str, Step]:
        """Let the parties (default: all) work with fresh objects after every deed until all wait or have ended."""
        last: dict[str, Step] = {}
        while True:
            moved = False
            for name in names or self.names:
                last[name] = self.party(name).step()
                moved |= not isinstance(last[name], Wait | Finish | Abort)
            if not moved:
                return last

    def work_until(self, reached: Callable[[], bool]) -> None:
        """Let everybody work in turn, a deed at a time, until `reached`."""
        while not reached():
            for name in self.names:
                self.party(name).step()
                if reached():
                    return

    def newest(self) -> int | None:
        return self.party(CENTRE).look().latest_global()

    def pass_time(self, seconds: float) -> None:
        self.store.shift += timedelta(seconds=seconds)

    def summary(self, name: str = CENTRE) -> Any:
        return json.loads(self.party(name).ledger.summary.read_text())

    def page(self) -> str:
        return self.party(CENTRE).ledger.report.read_text()

    @property
    def names(self) -> tuple[str, ...]:
        return (CENTRE, *self.charter.sites)

    def final(self) -> Model:
        return self.stored(CENTRE)

    def stored(self, name: str, ending: str = "") -> Model:
        """The model in a party's folder of models."""
        with np.load(self.home(name) / "models" / f"{self.charter.run}{ending}" / "line.npz") as stored:
            return dict(stored)


class Enrolled(World):
    """The same with homes as they are in a hospital: passes, keys on the disk, an audit log; the store is a folder."""

    def __post_init__(self) -> None:
        self.store = ShiftedStore(self.root / "store")
        init(self.home(CENTRE), self.store.path.resolve().as_uri())
        for site in self.charter.sites:
            invite(self.home(CENTRE), site, self.root / f"{site}.pass")
            join(self.home(site), self.root / f"{site}.pass")
        accept_all(self.home(CENTRE))
        self.party(CENTRE).ledger.keep_charter(self.charter)
        for site in self.charter.sites:
            self.party(site).ledger.decide(accepted=True, by="custodian", cohort=site.lower() * 2)

    def mailbox(self, name: str) -> Mailbox:
        return open_mailbox(self.home(name), self.charter.run)


@pytest.fixture
def make_enrolled(tmp_path: Path) -> Callable[..., Enrolled]:
    """A world of enrolled parties with any rule of the charter changed."""

    def make(name: str = "world", **rules: Any) -> Enrolled:
        rules = {"run": "lines-1", "sites": list(CASES), "rounds": 3, **rules}
        return Enrolled(tmp_path / name, parse_charter(rules))

    return make


@pytest.fixture
def make_world(tmp_path: Path) -> Callable[..., World]:
    """A world with any rule of the charter changed."""

    def make(name: str = "world", **rules: Any) -> World:
        return World(tmp_path / name, parse_charter({"run": "lines-1", "sites": list(CASES), "rounds": 3, **rules}))

    return make


@pytest.fixture
def make_affine(make_world: Callable[..., World]) -> Callable[..., World]:
    """The same with the learner that can do everything, and nothing compared."""

    def make(name: str = "world", **rules: Any) -> World:
        world = make_world(name, **{"compare_with_local": False, **rules})
        world.kind = lambda charter: Affine(charter.rounds, charter.learner.settings)
        return world

    return make
