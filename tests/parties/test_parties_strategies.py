"""Federations under every strategy: the same bits as by hand, through restarts and losses; poison stays without effect.

`world.work()` makes fresh objects after every deed, so what a strategy remembers has to be found again every time.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from konsil.federation.slot import Kind, Slot
from konsil.federation.steps import Finish
from konsil.federation.strategies.contribution import Chunk, Contribution, Spec
from konsil.federation.strategies.table import Ground, strategy_of

ADAM = {"name": "fedadam", "learning_rate": 0.1}
RULES: list[Any] = [
    {"name": "fedavg", "clip_norm": 0.5},
    "fedavgm",
    {**ADAM, "clip_norm": 2},
    "fedyogi",
    "median",
    "trimmed_mean",
    {"name": "krum", "faulty": 0},
    {"name": "multi_krum", "faulty": 0, "keep": 2},
]


def quick(make_world: Callable[..., Any], strategy: Any, name: str = "world", **rules: Any) -> Any:
    return make_world(name, strategy=strategy, compare_with_local=False, **{"quorum": {"sites": 3}, **rules})


def by_hand(world: Any) -> Any:
    """All rounds in this process, with nothing between the learner and the rule."""
    model, memory = world.learner("A").initial({"size": 4}), {}
    specs = {name: Spec(array.shape, array.dtype.name) for name, array in model.items()}
    for number in range(1, world.charter.rounds + 1):
        parts = []
        for site in world.charter.sites:
            update = world.learner(site).train(world.cohort(site), {}, model, number)
            parts.append(Contribution(site, update.cases, stream(update.tensors)))
        rule = strategy_of(world.charter.rule, Ground(model, memory))
        model, memory = rule.combine(parts, specs), rule.memory
    return model


def stream(tensors: Any) -> Callable[[], Iterator[Chunk]]:
    def opened() -> Iterator[Chunk]:
        for name, array in tensors.items():
            yield name, 0, array.reshape(-1)

    return opened


@pytest.mark.parametrize("strategy", RULES, ids=lambda rule: rule if isinstance(rule, str) else rule["name"])
def test_a_federation_gives_the_models_that_the_rule_gives_by_hand(
    make_world: Callable[..., Any], strategy: Any
) -> None:
    world = quick(make_world, strategy)
    assert all(isinstance(step, Finish) for step in world.work().values())
    expected = by_hand(world)
    assert all(np.array_equal(world.final()[name], expected[name]) for name in ("w", "n"))
    left = world.party("centre").ledger.folder / "optimizer"
    assert len(list(left.glob("*"))) == (2 if world.charter.rule.has_memory else 0)


@pytest.mark.parametrize("harm", ["lost", "cut", "changed"])
def test_a_memory_that_is_lost_or_damaged_is_made_again_from_the_bucket(
    make_world: Callable[..., Any], harm: str
) -> None:
    world = quick(make_world, ADAM)
    world.work_until(lambda: world.newest() == 2)
    folder = world.party("centre").ledger.folder / "optimizer"
    if harm == "lost":
        shutil.rmtree(folder)
    for path in folder.glob("*"):
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] if harm == "cut" else whole[:-1] + b"\x7f")
    world.work()
    assert np.array_equal(world.final()["w"], by_hand(world)["w"])


def test_a_centre_that_dies_before_it_keeps_its_memory_goes_on_with_the_same_bits(
    make_world: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from konsil.parties.momenta import Momenta

    world, keep = quick(make_world, ADAM), Momenta.keep

    def dies(*args: Any, **named: Any) -> None:
        monkeypatch.setattr(Momenta, "keep", keep)
        raise KeyboardInterrupt

    monkeypatch.setattr(Momenta, "keep", dies)
    with pytest.raises(KeyboardInterrupt):
        world.work()
    world.work()
    assert np.array_equal(world.final()["w"], by_hand(world)["w"])


def thousandfold(model: Any, number: int) -> Any:
    return {**model, "w": model["w"] * np.float32(1000 if number == 2 else 1)}


def infinite(model: Any, number: int) -> Any:
    return {**model, "w": model["w"] * np.float32(np.inf if number == 2 else 1)}


def test_a_scaled_update_is_clipped_and_the_operator_sees_who_and_why(make_world: Callable[..., Any]) -> None:
    world = quick(make_world, {"name": "fedavg", "clip_norm": 3})
    world.spoil("B", thousandfold)
    world.work()
    remark = world.summary()["rounds"][1]["remarks"]["B"]
    assert "was shortened: its change had length" in remark
    assert remark in world.page()
    assert [row["remarks"] for row in world.summary()["rounds"][::2]] == [{}, {}]
    assert np.abs(world.final()["w"]).max() < 10


def test_krum_leaves_a_scaled_update_out_and_names_it(make_world: Callable[..., Any]) -> None:
    world = quick(make_world, {"name": "multi_krum", "faulty": 1}, sites=list("ABCDE"), quorum={"sites": 5}, rounds=2)
    world.spoil("D", thousandfold)
    world.work()
    assert list(world.summary()["rounds"][1]["remarks"]) == ["D"]
    assert "was not chosen by Krum" in world.page()
    assert np.abs(world.final()["w"]).max() < 10


@pytest.mark.parametrize(
    ("strategy", "poison", "bound"), [("median", thousandfold, 10), ("median", infinite, 10), (ADAM, infinite, 10)]
)
def test_poison_is_refused_or_without_effect_and_the_round_goes_on(
    make_world: Callable[..., Any], strategy: Any, poison: Any, bound: float
) -> None:
    world = quick(make_world, strategy, quorum={"sites": 2})
    world.spoil("B", poison)
    world.work()
    refused = world.summary()["participation"]["B"]["refused"]
    assert [*refused] == (["2"] if poison is infinite else [])
    assert all("not finite" in why for why in refused.values())
    assert np.abs(world.final()["w"]).max() < bound


def test_an_update_of_no_cases_is_refused_and_the_round_goes_on(make_world: Callable[..., Any]) -> None:
    world = quick(make_world, "median", quorum={"sites": 2})
    world.work_until(lambda: world.newest() == 1)
    base = {letter.slot: letter for letter in world.mailbox("B").letters()}[Slot(Kind.global_, "centre", 1)]
    facts = {"cases": 0, "steps": 3, "base": base.manifest.digest, "metrics": {}, "seconds": 1.0}
    model = world.mailbox("B").read_tensors(base)
    world.mailbox("B").post_tensors(Slot(Kind.update, "B", 2), model, recipients=["centre"], facts=facts)
    world.work()
    assert "1 to 3 training cases, got 0" in world.summary()["participation"]["B"]["refused"]["2"]
    assert "B sent an update that was refused in round 2" in world.summary()["sentence"]
