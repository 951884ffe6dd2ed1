"""A federation with noise on its updates: what is averaged, and that a killed site never shows two versions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from konsil.errors import Refused
from konsil.federation.noise import Noise
from konsil.federation.slot import Kind
from konsil.federation.steps import Finish

KEY = bytes(range(32))
CASES = {"A": 2, "B": 3, "C": 5}


def floating(world: Any) -> Any:
    """Learners whose models have no counter: whole numbers cannot be noised."""
    kind = world.kind

    def make(charter: Any) -> Any:
        learner = kind(charter)
        first, train = learner.initial, learner.train

        def without(tensors: Any) -> Any:
            return {name: array for name, array in tensors.items() if name != "n"}

        def trained(cohort: Any, recipe: Any, tensors: Any, round: int, **how: Any) -> Any:  # noqa: A002
            update = train(cohort, recipe, {**tensors, "n": np.zeros(1, np.int64)}, round, **how)
            return replace(update, tensors=without(update.tensors))

        learner.initial, learner.train = lambda recipe: without(first(recipe)), trained
        return learner

    world.kind = make
    return world


@pytest.fixture
def noisy(make_affine: Callable[..., Any]) -> Callable[..., Any]:
    def make(name: str = "world", **rules: Any) -> Any:
        privacy = {"clip_norm": 0.5, "noise_multiplier": 0.2}
        return floating(make_affine(name, privacy=privacy, **rules))

    return make


def test_the_centre_averages_what_is_shortened_and_noised(
    noisy: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("konsil.parties.site.Noise", lambda: Noise(KEY))
    world = noisy(rounds=1)
    first = world.learner("A").initial({"size": 4})
    assert all(isinstance(step, Finish) for step in world.work().values())
    expected = {name: array.astype(np.float64) for name, array in first.items()}
    for site, cases in CASES.items():
        trained = world.learner(site).train(world.cohort(site), {}, first, 1).tensors
        change = {name: trained[name].astype(np.float64) - first[name] for name in first}
        length = np.sqrt(sum(np.square(part).sum() for part in change.values()))
        assert length > 0.5
        drawn = Noise(KEY)
        for name in first:
            noise = 0.1 * drawn.normal(first[name].shape)
            expected[name] = expected[name] + cases / 10 * (change[name] * 0.5 / length + noise)
    for name in first:
        np.testing.assert_allclose(world.final()[name], expected[name], rtol=1e-6)
    assert "epsilon" in world.page()


@pytest.mark.parametrize("precision", ["float32", "delta16"])
def test_a_killed_site_posts_the_noise_it_drew_first(
    noisy: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    world = noisy(rounds=2, precision=precision)
    put, left, kept = world.store.put, [2], []
    folder = world.home("B") / "runs" / "lines-1" / "outgoing"

    def dies(bucket: str, key: str, *rest: Any) -> None:
        if "/updates/B" in key and "manifest" in key and left[0]:
            left[0] -= 1
            kept.append(next(folder.iterdir()).read_bytes())
            raise KeyboardInterrupt
        put(bucket, key, *rest)

    monkeypatch.setattr(world.store, "put", dies)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            world.work()
    world.work("B")
    assert kept[0] == kept[1] == next(folder.iterdir()).read_bytes()
    assert all(isinstance(step, Finish) for step in world.work().values())
    updates = [letter for letter in world.mailbox("centre").letters() if letter.slot.kind == Kind.update]
    assert len(updates) == 6
    assert [path.stem for path in folder.iterdir()] == ["0002"]


def test_a_model_with_whole_numbers_is_not_sent_with_noise(make_affine: Callable[..., Any]) -> None:
    world = make_affine(privacy={"clip_norm": 1, "noise_multiplier": 1})
    with pytest.raises(Refused, match="The tensor n cannot be sent with noise"):
        world.work()
    assert not [letter for letter in world.mailbox("centre").letters() if letter.slot.kind == Kind.update]
