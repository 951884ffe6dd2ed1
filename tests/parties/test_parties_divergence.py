"""Training that goes astray at a site: told in its update's place, then left out or the end, as the charter says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from konsil.errors import Diverged
from konsil.federation.divergence import Divergence
from konsil.federation.slot import Kind, Slot
from konsil.federation.steps import Abort, Finish


class Astray:
    """A learner whose training goes astray in one round: an error, or a Dice next to nothing."""

    def __init__(self, line: Any, number: int, kind: str) -> None:
        self.line, self.number, self.kind = line, number, kind

    def __getattr__(self, name: str) -> Any:
        return getattr(self.line, name)

    def train(self, cohort: Any, recipe: Any, tensors: Any, round: int) -> Any:  # noqa: A002
        if round == self.number and self.kind != "dice":
            raise Diverged(self.kind, "the training loss is not a number")
        update = self.line.train(cohort, recipe, tensors, round)
        return replace(update, metrics={**update.metrics, "dice": 0.001 if round == self.number else 0.5})


def facts(world: Any, kind: Kind, sender: str, number: int) -> Any:
    found = {letter.slot: letter for letter in world.mailbox("centre").letters()}
    return found[Slot(kind, sender, number)].manifest.facts


def played(make_world: Any, kind: str, **charter: Any) -> tuple[Any, Any]:
    world = make_world(compare_with_local=False, **charter)
    line = world.kind(world.charter)
    world.learners["B"] = Astray(line, 2, kind)
    return world, world.work()["centre"]


@pytest.mark.parametrize("extra", [{}, {"precision": "delta16"}])
def test_the_round_goes_on_without_the_site_and_the_next_one_with_it(make_world, extra):
    world, last = played(make_world, "loss", **extra)
    assert isinstance(last, Finish)
    update = facts(world, Kind.update, "B", 2)
    assert (update["steps"], update["diverged"]) == (0, "loss")
    second = facts(world, Kind.global_, "centre", 2)
    assert set(second["included"]) == {"A", "C"}
    assert second["refused"] == {"B": "its training diverged: the loss is not a number"}
    assert set(facts(world, Kind.global_, "centre", 3)["included"]) == {"A", "B", "C"}


def test_what_is_posted_in_its_place_is_the_model_it_started_from(make_world):
    world, _ = played(make_world, "weights")
    box = world.mailbox("centre")
    letters = {letter.slot: letter for letter in box.letters()}
    posted = box.read_tensors(letters[Slot(Kind.update, "B", 2)])
    base = box.read_tensors(letters[Slot(Kind.global_, "centre", 1)])
    assert all(np.array_equal(posted[name], base[name]) for name in base)


def test_the_run_ends_where_the_charter_says_so(make_world):
    _, last = played(make_world, "loss", divergence={"then": "stop"})
    assert isinstance(last, Abort)
    assert "In round 2 of 3, B: its training diverged" in last.why


@pytest.mark.parametrize(("below", "left_out"), [(0.1, True), (None, False)])
def test_a_collapsed_dice_counts_only_if_the_charter_defines_it(make_world, below, left_out: bool):
    world, last = played(make_world, "dice", divergence={"dice_below": below})
    assert isinstance(last, Finish)
    assert facts(world, Kind.global_, "centre", 2)["refused"].keys() == ({"B"} if left_out else set())


def test_a_collapse_is_measured_against_the_best_so_far():
    rule = Divergence(dice_below=0.5)
    earlier = [{"pseudo_dice": 0.2}, {"pseudo_dice": 0.8, "dice": 0.7}]
    assert rule.collapsed(earlier, {"pseudo_dice": 0.39})
    assert not rule.collapsed(earlier, {"pseudo_dice": 0.41})
    assert rule.collapsed(earlier, {"pseudo_dice": 0.8, "dice": 0.3})  # whole images count before patches
    assert not rule.collapsed([], {"pseudo_dice": 0.0})
    assert not rule.collapsed(earlier, {"validation_loss": 9.0})


def test_under_secure_aggregation_the_sum_is_opened_without_the_site_and_the_next_one_with_it(make_affine):
    rules = {"sites": list("ABCD"), "rounds": 3, "quorum": {"sites": 3}, "compare_with_local": False}
    world = make_affine("astray", secure_aggregation={}, **rules)
    world.learners["B"] = Astray(world.kind(world.charter), 2, "loss")
    assert isinstance(world.work()["centre"], Finish)
    second = facts(world, Kind.global_, "centre", 2)
    assert set(second["included"]) == {"A", "C", "D"}
    assert second["refused"] == {"B": "its training diverged: the loss is not a number"}
    assert set(facts(world, Kind.global_, "centre", 3)["included"]) == set("ABCD")
