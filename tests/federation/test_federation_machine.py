"""Any interleaving of sites, delays, losses, duplicates, restarts and words of the operator ends, and ends truly.

A machine that draws what happens next: parties look at what they can see by now and do what `next_step` says, or die
before they do; messages are seen late, each reader at another time; sites train on while rounds close, go silent,
leave, send poison. No network, no clock, no Airflow: the store is a dictionary, time a number. The arithmetic is real.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from konsil.federation.charter import parse_charter
from konsil.federation.control import Action, facts_of, next_number
from konsil.federation.course import Course, course_of, ended_with
from konsil.federation.holdings import Holdings, Note
from konsil.federation.rounds import next_step
from konsil.federation.slot import Kind, Slot
from konsil.federation.steps import (
    Abort,
    Aggregate,
    Answer,
    CallRoll,
    Evaluate,
    Finish,
    MakeRecipe,
    Prepare,
    PublishBaselines,
    PublishCharter,
    Release,
    Reveal,
    Role,
    SendFingerprint,
    Step,
    StoreModel,
    Train,
    TrainBaseline,
    Wait,
)
from konsil.federation.strategies.contribution import Contribution, Spec
from konsil.federation.strategies.fedavg import FedAvg
from tests.federation.notes import CASES, at

CENTRE, SITES = "centre", tuple(CASES)
SIZE = 5
SPECS = {"w": Spec((SIZE,), "float32")}


@dataclass
class Message:
    """One message: when the store received it, and from when on each reader sees it."""

    moment: float
    facts: dict[str, Any]
    seen: dict[str, float] = field(default_factory=dict)


def trained(site: str, number: int, base: bytes) -> np.ndarray[Any, Any]:
    """What a site makes of a model: the same bits whenever it is asked."""
    seed = hashlib.sha256(f"{site}{number}".encode() + base).digest()
    moved = np.random.default_rng(list(seed)).normal(size=SIZE).astype(np.float32)
    return np.frombuffer(base, np.float32) + moved


def averaged(models: dict[str, np.ndarray[Any, Any]]) -> bytes:
    """The real rule, over the updates in the order given."""
    parts = [
        Contribution(site, CASES[site], lambda model=model: iter([("w", 0, model)])) for site, model in models.items()
    ]
    return FedAvg().combine(parts, SPECS)["w"].tobytes()


class Federation(RuleBasedStateMachine):
    """The store, the parties' own folders, and the hand of chance."""

    @initialize(
        quorum=st.integers(1, 3),
        compare=st.booleans(),
        derived=st.booleans(),
        stop=st.booleans(),
        required=st.sampled_from([[], [], ["A"]]),
        turns=st.integers(0, 9),
        secure=st.booleans(),
        bad=st.sets(st.tuples(st.sampled_from(SITES), st.integers(1, 4)), max_size=2),
    )
    def begin(self, *, quorum: int, compare: bool, derived: bool, stop: bool, required: list[str], turns: int,
              secure: bool, bad: set[tuple[str, int]]) -> None:  # fmt: skip
        quorum, compare = (3, False) if secure else (quorum, compare)
        deadlines = {"answer_s": 100, "fingerprint_s": 100, "prepare_s": 50, "baseline_s": 100, "evaluation_s": 100}
        self.charter = parse_charter(
            {
                "run": "run-1",
                "sites": list(SITES),
                "rounds": 3,
                "extra_rounds": 2,
                "compare_with_local": compare,
                "quorum": {"sites": quorum, "share_of_cases": 0.3, "required": required},
                "deadlines": deadlines | {"round_s": None if derived else 100},
                "early_stop": {"patience": 1} if stop else None,
                "secure_aggregation": {} if secure else None,
            }
        )
        self.now = 0.0
        self.store: dict[Slot, Message] = {}
        self.models: dict[Slot, np.ndarray[Any, Any]] = {}
        self.poisoned = {Slot(Kind.update, site, number) for site, number in bad}
        self.refused: dict[Slot, str] = {}
        self.own = {site: {"decided": True, "prepared": False, "stored": False} for site in SITES}
        self.centre_stored = False
        self.deeds: dict[str, Step] = {}
        self.silent: set[str] = set()
        self.everybody_works(turns)

    # what parties see and do

    def view(self, me: str) -> Holdings:
        visible = {
            slot: Note(at(message.moment), str(slot), message.facts)
            for slot, message in self.store.items()
            if message.seen.get(me, message.moment) <= self.now and (me == CENTRE or slot.sender in (CENTRE, me))
        }
        local = self.own[me] if me != CENTRE else {"refused": dict(self.refused), "stored": self.centre_stored}
        return Holdings(me, visible, **local)

    def step_of(self, me: str) -> Step:
        role = Role.CENTRE if me == CENTRE else Role.SITE
        holdings = self.view(me)
        charter = self.charter if me == CENTRE or holdings.note(Kind.charter) else None
        return next_step(role, holdings, charter, at(self.now))

    def course(self, me: str = CENTRE) -> Course:
        return course_of(self.view(me), self.charter)

    def post(self, slot: Slot, facts: dict[str, Any], delays: dict[str, float] | None = None) -> bool:
        """First one stands; the sender sees its own at once, as the mailbox waits until the store shows it."""
        if slot in self.store:
            return False
        seen = {name: self.now + delay for name, delay in (delays or {}).items() if name != slot.sender}
        self.store[slot] = Message(self.now, facts, seen)
        return True

    def do(self, me: str, step: Step, delays: dict[str, float] | None = None) -> None:
        if me == CENTRE:
            self.centre_does(step, delays)
        elif me not in self.course(me).left:
            self.site_does(me, step, delays)

    def site_does(self, me: str, step: Step, delays: dict[str, float] | None) -> None:
        match step:
            case Answer():
                self.post(Slot(Kind.answer, me), {"accepted": self.own[me]["decided"]}, delays)
            case SendFingerprint():
                self.post(Slot(Kind.fingerprint, me), {"cases": CASES[me]}, delays)
            case Prepare():
                self.own[me]["prepared"] = True
            case Train(number):
                slot = Slot(Kind.update, me, number)
                if self.post(slot, {"cases": CASES[me]}, delays):
                    base = self.models[Slot(Kind.global_, CENTRE, number - 1)]
                    self.models[slot] = trained(me, number, base.tobytes())
            case Reveal(number):
                roll = self.store[Slot(Kind.roll, CENTRE, number)]
                assert len(roll.facts["included"]) >= self.charter.quorum.sites
                self.post(Slot(Kind.reveal, me, number), {}, delays)
            case TrainBaseline():
                self.post(Slot(Kind.baseline, me), {}, delays)
            case Evaluate():
                self.post(Slot(Kind.evaluation, me, self.course(me).last), {}, delays)
            case StoreModel():
                self.own[me]["stored"] = True

    def centre_does(self, step: Step, delays: dict[str, float] | None) -> None:
        final = Slot(Kind.final, CENTRE, self.course().final_round)
        match step:
            case PublishCharter():
                self.post(Slot(Kind.charter, CENTRE), {}, delays)
            case MakeRecipe(sites):
                cases = {site: CASES[site] for site in sites}
                self.post(Slot(Kind.recipe, CENTRE), {"sites": list(sites), "cases": cases}, delays)
                first = Slot(Kind.global_, CENTRE, 0)
                self.post(first, {"included": {}, "refused": {}}, delays)
                self.models[first] = np.ones(SIZE, np.float32)
            case CallRoll():
                self.call_roll(step, delays)
            case Aggregate():
                self.aggregate(step, delays)
            case PublishBaselines():
                self.post(Slot(Kind.baselines, CENTRE), {}, delays)
            case Release():
                last = self.view(CENTRE).latest_global()
                self.post(final, {"outcome": "released", "sentence": "Finished.", "last": last}, delays)
                self.centre_stored = False
            case Abort(why, announced=False):
                self.check_reason(why)
                self.post(final, {"outcome": "aborted", "sentence": why}, delays)
            case StoreModel():
                self.centre_stored = True

    def usable(self, step: Aggregate | CallRoll) -> dict[str, Slot]:
        """The updates that are used now; none if one of them is bad, which is noted."""
        slots = {site: Slot(Kind.update, site, step.round) for site in step.sites}
        for slot in slots.values():
            if slot in self.poisoned:
                self.refused[slot] = "not finite"
                return {}
        assert len(slots) >= self.charter.quorum.sites
        course = self.course()
        assert not set(slots) & set(course.excluded)
        assert not any(course.has_left(site, at(self.store[slot].moment)) for site, slot in slots.items())
        return slots

    def call_roll(self, step: CallRoll, delays: dict[str, float] | None) -> None:
        if slots := self.usable(step):
            facts = {"included": {site: {} for site in slots}, "refused": dict(step.refused), "gone": dict(step.gone)}
            assert self.post(Slot(Kind.roll, CENTRE, step.round), facts, delays), "a round was called twice"

    def aggregate(self, step: Aggregate, delays: dict[str, float] | None) -> None:
        roll = self.store.get(Slot(Kind.roll, CENTRE, step.round))
        if roll is not None:
            slots = {site: Slot(Kind.update, site, step.round) for site in roll.facts["included"]}
            assert tuple(slots) == step.sites, "the sum is that of the roll"
            assert self.helpers(step.round) >= self.charter.secure_needed
        elif not (slots := self.usable(step)):
            return
        included = {site: {} for site in slots}
        means = {"dice": (sum(self.models[slot][0] for slot in slots.values()) % 1.0).item()}
        facts = {"included": included, "refused": dict(step.refused), "gone": dict(step.gone), "metrics": means}
        slot = Slot(Kind.global_, CENTRE, step.round)
        assert self.post(slot, facts, delays), "a round was closed twice"
        self.models[slot] = np.frombuffer(averaged({site: self.models[slots[site]] for site in slots}), np.float32)

    def helpers(self, number: int) -> int:
        """How many sites have helped to open the sum of a round, as far as the centre sees."""
        found = [said for slot, said in self.store.items() if slot.kind is Kind.reveal and slot.round == number]
        return sum(said.seen.get(CENTRE, 0) <= self.now for said in found)

    def check_reason(self, why: str) -> None:
        """The reason of an abort, counted anew without `next_step`: too few there are, and there was time enough."""
        if why.startswith("The operator ended the run"):
            assert any(said.facts.get("action") == "abort" for said in self.store.values())
            return
        if "cannot be opened" in why:
            number = 1 + (self.view(CENTRE).latest_global() or 0)
            called = self.store[Slot(Kind.roll, CENTRE, number)].moment
            out = {*self.course().gone, *(slot.sender for slot in self.store if slot.kind is Kind.reveal)}
            assert self.helpers(number) < self.charter.secure_needed
            assert f"{self.helpers(number)} of at least {self.charter.secure_needed} sites helped" in why
            assert set(SITES) <= out or self.now - called >= 200, "given up too early"
            return
        kind = {"Too few sites a": Kind.answer, "Too few sites s": Kind.fingerprint}.get(why[:15], Kind.update)
        newest = self.view(CENTRE).latest_global() or 0
        number = newest + 1 if kind is Kind.update else None
        counted = {site for site in SITES if self.counts(Slot(kind, site, number))}
        quorum = self.charter.quorum
        share = sum(CASES[site] for site in counted) / sum(CASES.values())
        if "of at least" in why:
            assert f"{len(counted)} of at least {quorum.sites}" in why
            assert len(counted) < quorum.sites
        elif "required and absent" in why:
            assert not set(quorum.required) <= counted
        else:
            assert share < quorum.share_of_cases
        if kind is Kind.update:
            opened = self.store[Slot(Kind.global_, CENTRE, newest)].moment
            out = {*self.course().gone, *(slot.sender for slot in self.store if slot.round == number)}
            members = set(self.store[Slot(Kind.recipe, CENTRE)].facts["sites"])
            assert members <= out or self.now - opened >= 200, "given up too early"

    def counts(self, slot: Slot) -> bool:
        """Whether a message is there and can be used, as far as the centre sees."""
        said = self.store.get(slot)
        if said is None or slot in self.refused or said.seen.get(CENTRE, 0) > self.now:
            return False
        course = self.course()
        left = slot.kind is not Kind.answer and course.has_left(slot.sender, at(said.moment))  # an acceptance stands
        out = left or slot.sender in course.excluded
        return not out and said.facts.get("accepted") is not False

    # what may happen

    delays = st.dictionaries(st.sampled_from([CENTRE, *SITES]), st.sampled_from([5.0, 40.0]), max_size=2)

    @rule(me=st.sampled_from([CENTRE, *SITES]), delays=delays, dies=st.booleans())
    def acts(self, me: str, delays: dict[str, float], dies: bool) -> None:
        step = self.step_of(me)
        if not dies:
            self.do(me, step, delays)

    @rule(turns=st.integers(1, 3))
    def everybody_works(self, turns: int) -> None:
        for me in (CENTRE, *SITES) * turns:
            self.now += 1
            if me not in self.silent:
                self.do(me, self.step_of(me))

    @rule(seconds=st.sampled_from([1.0, 7.0, 30.0, 99.0, 250.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(me=st.sampled_from(SITES))
    def begins_something_long(self, me: str) -> None:
        self.deeds.setdefault(me, self.step_of(me))

    @rule(me=st.sampled_from(SITES), delays=delays)
    def ends_something_long(self, me: str, delays: dict[str, float]) -> None:
        """Whatever was posted meanwhile: late, a second time, or after the run has ended."""
        self.do(me, self.deeds.pop(me, self.step_of(me)), delays)

    @rule(me=st.sampled_from(SITES))
    def loses_its_folder(self, me: str) -> None:
        self.own[me] |= {"prepared": False, "stored": False}

    @rule()
    def centre_loses_its_folder(self) -> None:
        self.refused.clear()

    @rule(me=st.sampled_from(SITES))
    def custodian_refuses(self, me: str) -> None:
        if Slot(Kind.answer, me) not in self.store:
            self.own[me]["decided"] = False

    @precondition(lambda self: Slot(Kind.charter, CENTRE) in self.store)
    @rule(action=st.sampled_from([Action.PAUSE, Action.RESUME, Action.RESUME, Action.EXCLUDE, Action.EXTEND]),
          site=st.sampled_from(SITES), delays=delays)  # fmt: skip
    def operator_says(self, action: Action, site: str, delays: dict[str, float]) -> None:
        self.say(action, site, delays)

    @precondition(lambda self: Slot(Kind.global_, CENTRE, 1) in self.store)
    @rule(delays=delays)
    def operator_aborts(self, delays: dict[str, float]) -> None:
        self.say(Action.ABORT, "", delays)

    @rule(me=st.sampled_from(SITES))
    def falls_silent_for_good(self, me: str) -> None:
        self.silent.add(me)

    @rule(me=st.sampled_from(SITES))
    def leaves(self, me: str) -> None:
        if self.store.get(Slot(Kind.answer, me), Message(0, {})).facts.get("accepted"):
            self.post(Slot(Kind.leave, me), {"why": ""})

    def say(self, action: Action, site: str = "", delays: dict[str, float] | None = None) -> None:
        holdings = self.view(CENTRE)
        final = holdings.note(Kind.final, round=self.course().final_round)
        after = (ended_with(final) if final else None) or 0
        facts = facts_of(action, site=site, rounds=1, after=after)
        self.post(Slot(Kind.control, CENTRE, next_number(holdings)), facts, delays)

    # what always holds

    @invariant()
    def every_global_model_is_the_mean_of_what_it_names(self) -> None:
        """In charter order, whatever the order of arrival: the same bits."""
        for slot in [slot for slot in getattr(self, "store", {}) if slot.kind is Kind.global_ and slot.round]:
            named = self.store[slot].facts["included"]
            models = {site: self.models[Slot(Kind.update, site, slot.round)] for site in SITES if site in named}
            assert averaged(models) == self.models[slot].tobytes()

    def teardown(self) -> None:
        """Everybody who is not silent for good goes on working: the run ends for all of them."""
        if not hasattr(self, "store"):
            return
        for _ in range(400):
            self.now += 1
            steps = {me: self.step_of(me) for me in (CENTRE, *SITES) if me not in self.silent}
            if all(isinstance(step, Finish) or self.is_told(step) for step in steps.values()):
                return
            if self.course().paused is not None:
                self.say(Action.RESUME)
            for me in steps:
                self.do(me, self.step_of(me))
            if all(isinstance(step, Wait | Finish | Abort) for step in steps.values()):
                self.now += 45  # until every message is seen
                self.wait_for(steps[CENTRE])
        raise AssertionError(f"nothing comes of it: {steps}")

    def wait_for(self, step: Step) -> None:
        if isinstance(step, Wait) and step.until is not None and isinstance(self.step_of(CENTRE), Wait):
            self.now = max(self.now, (step.until - at(0)).total_seconds())

    @staticmethod
    def is_told(step: Step) -> bool:
        return isinstance(step, Abort) and step.announced


Federation.TestCase.settings = settings(
    max_examples=150, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestFederation = Federation.TestCase
