"""Secure aggregation when processes die, and a whole simulation with a site that drops out."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from konsil.federation.charter import parse_charter
from konsil.federation.mailbox import Mailbox
from konsil.federation.slot import Kind, Slot
from konsil.federation.steps import Finish, Train
from konsil.parties.simulation import Seat, Simulation, sit_down
from konsil.parties.site import SiteParty
from konsil.parties.steering import say_farewell
from konsil.storage.folder import FolderStore
from tests.chaos.learner import FastLine
from tests.chaos.town import Town

SITES = "ABCD"
CHARTER = {"run": "lines-1", "sites": list(SITES), "rounds": 3, "quorum": {"sites": 3}, "compare_with_local": False}


class Killed(BaseException):
    """What stands for SIGKILL in this process: nothing catches it."""


class Fate:
    """Kills at drawn moments before and after what a party writes, to the store or to its home."""

    def __init__(self, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.draw, self.kills, self.is_on = random.Random(seed), 0, False
        self.left = self.draw.randint(1, 8)
        monkeypatch.setattr(FolderStore, "put", self.around(FolderStore.put))
        monkeypatch.setattr(os, "replace", self.around(os.replace))

    def around(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **named: Any) -> Any:
            self.moment()
            found = work(*args, **named)
            self.moment()
            return found

        return watched

    def moment(self) -> None:
        self.left -= self.is_on
        if self.left == 0:
            self.left, self.kills = self.draw.randint(1, 25), self.kills + 1
            raise Killed


def bits(model: Any) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in model.items()}


def test_a_run_in_which_everybody_dies_again_and_again_ends_with_the_same_bits(
    make_affine: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other keys and other masks in each of the two: the sum of fixed-point numbers does not depend on them."""
    rules = {"sites": list(SITES), "rounds": 2, "quorum": {"sites": 4}, "secure_aggregation": {}}
    calm, stormy = make_affine("calm", **rules), make_affine("stormy", **rules)
    calm.work()
    fate = Fate(7, monkeypatch)
    last: dict[str, Any] = {}
    fate.is_on = True
    while not all(isinstance(last.get(name), Finish) for name in stormy.names):
        for name in stormy.names:
            try:
                last[name] = stormy.party(name).step()
            except Killed:
                last[name] = None
    fate.is_on = False
    assert fate.kills >= 15
    assert bits(stormy.final()) == bits(calm.final()) == bits(stormy.stored("D"))
    assert stormy.summary()["sentence"] == calm.summary()["sentence"]


def test_an_update_that_was_masked_once_is_posted_as_it_was(
    make_affine: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after masking, before posting: another training under the same masks would show its difference."""
    rules = {"sites": list(SITES), "rounds": 1, "quorum": {"sites": 3}, "secure_aggregation": {}}
    calm, world = make_affine("calm", **rules), make_affine("killed", **rules)
    calm.work()
    world.work_until(lambda: isinstance(world.party("B").next(), Train))
    with monkeypatch.context() as patch:
        patch.setattr(Mailbox, "post_tensors", lambda *args, **named: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            world.party("B").step()
    world.spoil("B", lambda model, number: {**model, "w": model["w"] + 1})
    world.work()
    assert bits(world.final()) == bits(calm.final())


def test_the_centre_adds_up_again_what_it_has_lost(make_affine: Callable[..., Any]) -> None:
    rules = {"sites": list(SITES), "rounds": 1, "quorum": {"sites": 3}, "secure_aggregation": {}}
    calm, world = make_affine("calm", **rules), make_affine("lost", **rules)
    calm.work()
    rolled = Slot(Kind.roll, "centre", 1)
    world.work_until(lambda: any(letter.slot == rolled for letter in world.mailbox("A").letters()))
    path = world.home("centre") / "runs/lines-1/sums/0001.safetensors"
    path.write_bytes(path.read_bytes()[:-7])
    world.work()
    assert bits(world.final()) == bits(calm.final())


def learner_at(home: Path) -> Any:
    return lambda charter: FastLine({}, rounds=charter.rounds, home=home)


@pytest.fixture
def cohorts(tmp_path: Path) -> dict[str, Path]:
    town = Town(tmp_path / "cohorts")
    for site, cases in zip(SITES, (2, 3, 5, 4), strict=True):
        town.home(site).mkdir(parents=True)
        town.give_cohort(site, cases)
    return {site: town.home(site) / "cohorts" / "lines" for site in SITES}


def simulated(out: Path, cohorts: dict[str, Path], **rules: Any) -> tuple[Simulation, Any]:
    """Three rounds in which D leaves while it would train round 2; the simulation and its last model."""
    charter = parse_charter({**CHARTER, **rules})
    simulation = Simulation(charter, cohorts, out, learner_for=learner_at)
    site = Seat(out, charter.run, "D", cohorts["D"])

    def show(name: str, step: Any) -> None:
        party = sit_down(site, learner_at) if name == "D" else None
        if isinstance(party, SiteParty) and step == Train(2):
            say_farewell(party, why="scanner replaced")

    assert simulation.run(show).state == "finished"
    with np.load(out / "centre" / "models" / charter.run / "line.npz") as stored:
        return simulation, dict(stored)


def test_a_simulation_of_three_rounds_with_four_sites_of_which_one_drops_out(
    tmp_path: Path, cohorts: dict[str, Path]
) -> None:
    secure, masked = simulated(tmp_path / "secure", cohorts, secure_aggregation={"clip_range": 4})
    plain, bare = simulated(tmp_path / "plain", cohorts)
    assert np.array_equal(masked["n"], bare["n"])
    assert np.abs(bare["w"]).max() > 0
    assert np.abs(masked["w"] - bare["w"]).max() < 1e-6
    assert secure.summary["sentence"] == plain.summary["sentence"]
    assert "D left after round 1" in secure.summary["sentence"]
    assert [sorted(row["sites"]) for row in secure.summary["rounds"]] == [list("ABCD"), list("ABC"), list("ABC")]
