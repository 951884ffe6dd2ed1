"""Strategies with a site's half: the models that the papers' loops give, through restarts; what is kept never leaves.

`world.work()` makes fresh objects after every deed, so what a site keeps has to be found again every time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from konsil.errors import BadSetting
from konsil.federation.slot import Kind, Slot
from konsil.federation.steps import Finish
from konsil.files import read_json
from konsil.parties.keepsakes import Keepsakes

CASES = {"A": 2, "B": 3, "C": 5}
RATE, STEPS, ROUNDS, DAY = 0.1, 3, 3, 86400.0
Pair = tuple[Any, Any]


def slopes(world: Any, site: str, w: Any, b: Any) -> Pair:
    x, y = world.cohort(site).rows("train")
    rest = (x @ w + b - y[:, None]) / len(x)
    return x.T @ rest, rest.sum(axis=0)


def locally(world: Any, site: str, start: Pair, extra: Callable[[Any, Any], Pair] = lambda w, b: (0, 0)) -> Pair:
    w, b = start
    for _ in range(STEPS):
        (gw, gb), (ew, eb) = slopes(world, site, w, b), extra(w, b)
        w, b = w - RATE * (gw + ew), b - RATE * (gb + eb)
    return w, b


def first(world: Any) -> Pair:
    model = world.learner("A").initial({"size": 4})
    return model["w"].astype(np.float64), model["b"].astype(np.float64)


def mean(found: dict[str, Pair], part: int) -> Any:
    return sum(CASES[site] * pair[part] for site, pair in found.items()) / sum(CASES[site] for site in found)


def close(model: Any, w: Any, b: Any) -> None:
    np.testing.assert_allclose(model["w"], w, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model["b"], b, rtol=1e-5, atol=1e-6)


def finished(world: Any) -> Any:
    assert all(isinstance(step, Finish) for step in world.work().values())
    return world


def kept(world: Any, site: str, number: int) -> Any:
    return Keepsakes(world.home(site) / "runs" / "lines-1" / "own").before(number + 1)[1]


def test_fedprox_is_the_papers_loop(make_affine: Callable[..., Any]) -> None:
    world = finished(make_affine(strategy={"name": "fedprox", "mu": 0.5}))
    w, b = first(world)
    for _ in range(ROUNDS):
        found = {s: locally(world, s, (w, b), lambda v, c, w=w, b=b: (0.5 * (v - w), 0.5 * (c - b))) for s in CASES}
        w, b = mean(found, 0), mean(found, 1)
    close(world.final(), w, b)
    assert not (world.home("A") / "runs" / "lines-1" / "own").exists()


def test_scaffold_is_the_papers_loop(make_affine: Callable[..., Any]) -> None:
    world = finished(make_affine(strategy="scaffold"))
    x, c = first(world), (0.0, 0.0)
    own: dict[str, Pair] = dict.fromkeys(CASES, (0.0, 0.0))
    for _ in range(ROUNDS):
        y = {
            s: locally(world, s, x, lambda w, b, s=s, c=c, own=dict(own): (c[0] - own[s][0], c[1] - own[s][1]))
            for s in CASES
        }
        after = {s: tuple(own[s][i] - c[i] + (x[i] - y[s][i]) / (STEPS * RATE) for i in (0, 1)) for s in CASES}
        c = tuple(
            c[i] + mean({s: tuple(np.subtract(after[s][j], own[s][j]) for j in (0, 1)) for s in CASES}, i)
            for i in (0, 1)
        )
        x, own = (mean(y, 0), mean(y, 1)), after
    close(world.final(), *x)
    for site in CASES:
        np.testing.assert_allclose(kept(world, site, ROUNDS)["control/w"], own[site][0], rtol=1e-4, atol=1e-5)
    message = world.party("centre")
    message.look()
    np.testing.assert_allclose(message.message(ROUNDS)["control/b"], c[1], rtol=1e-4, atol=1e-5)


def test_the_control_at_the_centre_stays_the_mean_of_the_sites_though_one_misses_a_round(
    make_affine: Callable[..., Any],
) -> None:
    """B trains round 2 but posts too late: what the centre never counted must not count at the site either."""
    world = make_affine(strategy="scaffold")
    world.work_until(lambda: world.newest() == 1)
    late = world.party("B")
    step = late.next()
    world.work("centre", "A", "C")
    world.pass_time(DAY + 1)
    world.work("centre")
    late.do(step)
    finished(world)
    centre = world.party("centre")
    centre.look()
    assert "B" not in centre.letter(Kind.global_, round=2).manifest.facts["included"]
    own = {site: kept(world, site, ROUNDS) for site in CASES}
    for name in ("control/w", "control/b"):
        expected = sum(CASES[site] * own[site][name] for site in CASES) / 10
        np.testing.assert_allclose(centre.message(ROUNDS)[name], expected, rtol=1e-5, atol=1e-6)


def test_fedbn_leaves_the_layers_of_a_site_at_that_site(make_affine: Callable[..., Any]) -> None:
    world = finished(make_affine(strategy="fedbn"))
    w, b = first(world)
    own = dict.fromkeys(CASES, b)
    for _ in range(ROUNDS):
        found = {site: locally(world, site, (w, own[site])) for site in CASES}
        w, own = mean(found, 0), {site: pair[1] for site, pair in found.items()}
    for site in CASES:
        close(world.stored(site), w, own[site])
    close(world.final(), w, b)  # the centre has the first weights of what stays, and says so
    cards = {name: read_json(world.home(name) / "models" / "lines-1" / "model-card.json") for name in world.names}
    assert [cards[name].get("lacks") for name in world.names] == [["b"], None, None, None]
    updates = [letter for letter in world.mailbox("centre").letters() if letter.slot.kind == Kind.update]
    assert {letter.manifest.tensors.names for letter in updates} == {("w", "n")}


def test_an_update_with_layers_that_stay_is_refused(make_affine: Callable[..., Any]) -> None:
    world = make_affine(strategy="fedbn")
    world.work_until(lambda: world.newest() == 1)
    base = {letter.slot: letter for letter in world.mailbox("B").letters()}[Slot(Kind.global_, "centre", 1)]
    facts = {"cases": 3, "steps": 3, "base": base.manifest.digest, "metrics": {}, "seconds": 1.0}
    model = world.mailbox("B").read_tensors(base)
    world.mailbox("B").post_tensors(Slot(Kind.update, "B", 2), model, recipients=["centre"], facts=facts)
    world.work()
    assert "1 are unknown" in world.summary()["participation"]["B"]["refused"]["2"]


def test_ditto_keeps_a_second_model_that_is_tested_and_stored_at_its_site(make_affine: Callable[..., Any]) -> None:
    world = finished(make_affine(strategy={"name": "ditto", "lam": 2.0}))
    w, b = first(world)
    own = dict.fromkeys(CASES, (w, b))
    for _ in range(ROUNDS):
        near = lambda v, c, w=w, b=b: (2 * (v - w), 2 * (c - b))  # noqa: E731
        own = {site: locally(world, site, own[site], near) for site in CASES}
        found = {site: locally(world, site, (w, b)) for site in CASES}
        w, b = mean(found, 0), mean(found, 1)
    for site in CASES:
        close(world.stored(site), w, b)
        close(world.stored(site, "-own"), *own[site])
    assert not (world.home("centre") / "models" / "lines-1-own").exists()
    scores = world.summary()["dice"]
    for site in CASES:
        cases = world.learner(site).evaluate(world.cohort(site), {}, world.stored(site, "-own"), "test")
        assert scores["personal"][site] == pytest.approx(np.mean([case.mean() for case in cases]))
    assert "each site&#39;s own" in world.page() or "each site's own" in world.page()


def test_a_site_with_another_plan_shares_what_fits(make_affine: Callable[..., Any]) -> None:
    world = make_affine(strategy={"name": "asym_fedavg", "settings": {"B": {"size": 2}}})
    finished(world)
    assert [world.stored(name)["w"].shape for name in ("centre", "A", "B", "C")] == [(4, 1), (4, 1), (2, 1), (4, 1)]
    assert all(np.array_equal(world.stored(name)["b"], world.final()["b"]) for name in CASES)
    sent = {
        letter.slot.sender: letter.manifest.tensors.names
        for letter in world.mailbox("centre").letters()
        if letter.slot.kind == Kind.update
    }
    assert sent == {"A": ("w", "n", "b"), "B": ("n", "b"), "C": ("w", "n", "b")}


RULES: list[Any] = ["scaffold", "fedbn", "ditto", {"name": "asym_fedavg", "settings": {"B": {"size": 2}}}]


@pytest.mark.parametrize(("strategy", "precision"), [(RULES[0], "delta16"), *((rule, "float32") for rule in RULES[1:])])
def test_a_site_killed_between_keeping_and_posting_goes_on_with_the_same_bits(
    make_affine: Callable[..., Any], strategy: Any, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = {"strategy": strategy, "precision": precision}
    world, whole = make_affine("killed", **rules), finished(make_affine("whole", **rules))
    put, left = world.store.put, [2]

    def dies(bucket: str, key: str, *rest: Any) -> None:
        if "/updates/B" in key and "manifest" in key and left[0]:
            left[0] -= 1
            raise KeyboardInterrupt
        put(bucket, key, *rest)

    monkeypatch.setattr(world.store, "put", dies)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            world.work()
    finished(world)
    for ending in ("", "-own") if strategy == "ditto" else ("",):
        for name in ("w", "b", "n"):
            assert np.array_equal(world.stored("B", ending)[name], whole.stored("B", ending)[name])
    assert all(np.array_equal(world.final()[name], whole.final()[name]) for name in ("w", "b", "n"))
    assert len(list((world.home("B") / "runs" / "lines-1" / "own").iterdir())) == 2


@pytest.mark.parametrize(
    ("strategy", "lacking"),
    [
        ("fedprox", "adds a term to its gradients"),
        ("scaffold", "adds a term to its gradients and takes plain gradient steps"),
        ("fedbn", "names its normalisation layers"),
        ("ditto", ".* and trains a second model beside"),
        ({"name": "asym_fedavg", "settings": {"B": {"size": 2}}}, "plans with settings of a single site"),
    ],
)
def test_a_learner_that_cannot_do_it_is_refused_before_anything_is_published(
    make_world: Callable[..., Any], strategy: Any, lacking: str
) -> None:
    world = make_world(strategy=strategy, compare_with_local=False)
    with pytest.raises(BadSetting, match=f"cannot be trained with .*; expected one that {lacking}"):
        world.work()
    assert not list(files(world.store.path))


def files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def test_a_comparison_with_local_models_works_beside_a_control_variate(make_affine: Callable[..., Any]) -> None:
    world = finished(make_affine(strategy="scaffold", compare_with_local=True))
    alone = world.learner("C").baseline(world.cohort("C"), {}, world.learner("A").initial({"size": 4}))
    scores = world.learner("A").evaluate(world.cohort("A"), {}, alone, "test")
    assert world.summary()["dice"]["local"]["C"]["A"] == pytest.approx(np.mean([case.mean() for case in scores]))


def test_sixteen_bits_give_almost_the_same_model(make_affine: Callable[..., Any]) -> None:
    whole, half = finished(make_affine("whole")), finished(make_affine("half", precision="delta16"))
    np.testing.assert_allclose(half.final()["w"], whole.final()["w"], rtol=0, atol=1e-3)
    assert not np.array_equal(half.final()["w"], whole.final()["w"])
    updates = [letter for letter in half.mailbox("centre").letters() if letter.slot.kind == Kind.update]
    assert {letter.manifest.tensors.dtypes for letter in updates} == {("I16", "F16", "I64", "F16")}


def test_a_centre_that_goes_on_does_not_fetch_its_own_model(
    make_affine: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh, world = finished(make_affine("fresh", precision="delta16")), make_affine("warm", precision="delta16")
    centre, fetched = world.party("centre"), list[int | None]()
    stream = centre.mailbox.stream_tensors

    def noted(letter: Any) -> Any:
        fetched.extend([letter.slot.round] if letter.slot.kind == Kind.global_ else [])
        return stream(letter)

    monkeypatch.setattr(centre.mailbox, "stream_tensors", noted)
    while not isinstance(centre.step(), Finish):
        world.work("A", "B", "C")
    assert fetched == [0]
    assert all(np.array_equal(array, fresh.final()[name]) for name, array in world.final().items())


def test_an_update_of_the_other_precision_is_refused(make_affine: Callable[..., Any]) -> None:
    world = make_affine(precision="delta16")
    world.work_until(lambda: world.newest() == 1)
    base = {letter.slot: letter for letter in world.mailbox("B").letters()}[Slot(Kind.global_, "centre", 1)]
    facts = {"cases": 3, "steps": 3, "base": base.manifest.digest, "metrics": {}, "seconds": 1.0}
    model = world.mailbox("B").read_tensors(base)
    world.mailbox("B").post_tensors(Slot(Kind.update, "B", 2), model, recipients=["centre"], facts=facts)
    world.work()
    assert "1 are missing" in world.summary()["participation"]["B"]["refused"]["2"]
