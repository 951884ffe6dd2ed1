"""Two federations at once in the same buckets and homes: neither notices the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from konsil.federation.charter import parse_charter
from konsil.federation.control import Action
from konsil.federation.mailbox import runs
from konsil.federation.steps import Finish
from konsil.parties.steering import say, say_farewell


def beside(world: Any, run: str, **rules: Any) -> Any:
    """A second run in the homes, buckets and with the keys of `world`."""
    charter = parse_charter({**world.charter.model_dump(mode="json"), "run": run, **rules})
    other = dataclasses.replace(world, charter=charter, learners={})
    other.identities, other.roster, other.store = world.identities, world.roster, world.store
    other.party("centre").ledger.keep_charter(charter)
    return other


def alternately(*worlds: Any) -> None:
    """One deed of every party of every run in turn, until all have finished."""
    while not all([isinstance(world.party(name).step(), Finish) for name in worlds[0].names for world in worlds]):  # noqa: C419
        pass


def test_two_runs_at_once_end_as_each_would_alone(make_world: Callable[..., Any]) -> None:
    alone = make_world("alone", compare_with_local=False)
    alone.work()
    world = make_world(compare_with_local=False)
    other = beside(world, "lines-2", rounds=2, strategy="fedavgm", quorum={"sites": 2})
    alternately(world, other)
    assert runs(world.store) == ["lines-1", "lines-2"]
    assert np.array_equal(world.final()["w"], alone.final()["w"])
    assert not np.array_equal(world.final()["w"], other.final()["w"])
    assert other.summary("A")["sentence"] == "Finished: 2 rounds with all 3 sites (A, B, C)."


def test_words_about_one_run_do_not_touch_the_other(make_world: Callable[..., Any]) -> None:
    world = make_world(compare_with_local=False, rounds=2)
    other = beside(world, "lines-2")
    world.work_until(lambda: world.newest() == 1)
    other.work_until(lambda: other.newest() == 1)
    say(world.party("centre"), Action.EXCLUDE, site="C", why="labels are shifted")
    say_farewell(world.party("B"))
    other.work()
    assert other.summary()["sentence"] == "Finished: 2 rounds with all 3 sites (A, B, C)."
    assert other.summary()["operator"] == []
