"""The site's halves of strategies and the centre's halves that belong to them, on numbers small enough for the head."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from konsil.errors import BadMessage, KonsilError
from konsil.federation.strategies.asym_fedavg import AsymFedAvg, KeepingSite, fitting
from konsil.federation.strategies.choice import (
    AsymFedAvgChoice,
    Choice,
    DittoChoice,
    FedAvgChoice,
    FedBNChoice,
    FedProxChoice,
    MedianChoice,
)
from konsil.federation.strategies.contribution import Chunk, Contribution, Spec, Unusable
from konsil.federation.strategies.fedavg import FedAvg
from konsil.federation.strategies.norm_clipping import NormClipping
from konsil.federation.strategies.scaffold import Scaffold, ScaffoldSite, with_controls
from konsil.federation.strategies.site_rule import SiteRule, model_of
from konsil.federation.strategies.table import SiteGround, site_rule_of


def arrays(**values: Any) -> dict[str, Any]:
    return {name.replace("__", "/"): np.array(value, np.float32) for name, value in values.items()}


def specs(tensors: Any) -> dict[str, Spec]:
    return {name: Spec(array.shape, array.dtype.name) for name, array in tensors.items()}


def update(site: str, weight: int, tensors: Any, *, part: bool = False) -> Contribution:
    def opened() -> Iterator[Chunk]:
        for name, array in tensors.items():
            yield name, 0, array.reshape(-1)

    return Contribution(site, weight, opened, frozenset(tensors) if part else None)


def rule(choice: Choice, message: Any, **ground: Any) -> SiteRule:
    return site_rule_of(choice, SiteGround(**ground), message)


@pytest.mark.parametrize("choice", [FedAvgChoice(), MedianChoice(), AsymFedAvgChoice()])
def test_most_strategies_ask_nothing_of_a_site(choice: Choice) -> None:
    message, trained = arrays(w=[1, 2]), arrays(w=[3, 4])
    found = rule(choice, message)
    assert found.steering(message, {}) is None
    assert found.second(message, {}) is None
    assert found.start(message, {}) == message
    assert found.hand_in(message, {}, trained, 1.0) == (trained, {})


def test_fedprox_pulls_to_the_model_the_round_started_from() -> None:
    message = arrays(w=[1, 2])
    steering = rule(FedProxChoice(mu=0.5), message).steering(message, {})
    assert steering is not None
    assert (steering.pull, steering.anchor["w"].tolist(), steering.shift) == (0.5, [1, 2], {})


def test_ditto_trains_a_second_model_near_the_global_one() -> None:
    message, own = arrays(w=[1, 2]), arrays(w=[5, 5])
    ditto = rule(DittoChoice(lam=2), message)
    assert ditto.steering(message, own) is None
    for kept, begins in (({}, [1, 2]), (own, [5, 5])):
        found = ditto.second(message, kept)
        assert found is not None
        assert found[0]["w"].tolist() == begins
        assert (found[1].pull, found[1].anchor["w"].tolist()) == (2, [1, 2])
    assert ditto.start(message, own)["w"].tolist() == [1, 2]  # the global model stays the global model


def test_fedbn_keeps_what_the_recipe_names_and_sends_the_rest() -> None:
    message, trained = arrays(conv=[1], norm=[0]), arrays(conv=[3], norm=[7])
    fedbn = rule(FedBNChoice(), message, norms=("norm",))
    sent, kept = fedbn.hand_in(message, {}, trained, 1.0)
    assert (list(sent), kept["norm"].tolist()) == (["conv"], [7])
    assert {n: a.tolist() for n, a in fedbn.start(message, {}).items()} == {"conv": [1], "norm": [0]}
    assert {n: a.tolist() for n, a in fedbn.start(message, kept).items()} == {"conv": [1], "norm": [7]}


def test_a_site_of_another_plan_shares_what_fits() -> None:
    message, first = arrays(a=[1], b=[1, 1]), arrays(a=[9], b=[8, 8, 8], c=[7])
    asym = rule(AsymFedAvgChoice(), message, first=first)
    assert isinstance(asym, KeepingSite)
    assert {n: a.tolist() for n, a in asym.start(message, {}).items()} == {"a": [1], "b": [8, 8, 8], "c": [7]}
    sent, kept = asym.hand_in(message, {}, arrays(a=[2], b=[0, 0, 0], c=[3]), 1.0)
    assert (list(sent), list(kept)) == (["a"], ["b", "c"])
    assert asym.start(message, kept)["c"].tolist() == [3]


def test_a_plan_that_shares_nothing_is_refused() -> None:
    other_dtype = {"a": np.zeros(1)}
    with pytest.raises(BadMessage, match="no tensor in common"):
        fitting({**arrays(b=[1, 1, 1]), **other_dtype}, arrays(a=[1], b=[1, 1]))


def test_asymmetric_averaging_weighs_each_tensor_by_who_sent_it() -> None:
    before = arrays(a=[0, 0], b=[5], c=[6])
    made = AsymFedAvg(before).combine(
        [
            update("A", 1, arrays(a=[4, 0], b=[1]), part=True),
            update("B", 3, arrays(a=[0, 4]), part=True),
        ],
        specs(before),
    )
    assert {name: array.tolist() for name, array in made.items()} == {"a": [1, 3], "b": [1], "c": [6]}


def test_whole_numbers_agree_among_those_who_sent_them() -> None:
    before = {"w": np.zeros(1, np.float32), "n": np.zeros(1, np.int64)}
    n = {"n": np.full(1, 4)}
    silent, speaks = update("A", 1, arrays(w=[1]), part=True), update("B", 1, {**arrays(w=[3]), **n}, part=True)
    made = AsymFedAvg(before).combine([silent, speaks], specs(before))
    assert (made["w"].tolist(), made["n"].tolist()) == ([2], [4])
    differs = update("C", 1, {**arrays(w=[3]), "n": np.full(1, 5)}, part=True)
    with pytest.raises(Unusable, match="differ from those of B"):
        AsymFedAvg(before).combine([silent, speaks, differs], specs(before))


def test_a_tensor_that_was_not_announced_is_refused() -> None:
    before = arrays(a=[0], b=[0])
    liar = Contribution("A", 1, update("A", 1, arrays(a=[1], b=[1])).open, frozenset("a"))
    with pytest.raises(Unusable, match="not one of the model's tensors"):
        AsymFedAvg(before).combine([liar], specs(before))


def test_what_a_site_keeps_does_not_count_for_the_length_of_its_change() -> None:
    before = arrays(a=[0, 0], b=[100])
    rule = NormClipping(AsymFedAvg(before), before, 5)
    made = rule.combine([update("A", 1, arrays(a=[6, 8]), part=True)], specs(before))
    assert (made["a"].tolist(), made["b"].tolist()) == ([3, 4], [100])
    assert "length 10" in rule.remarks["A"]


def test_scaffold_corrects_by_the_difference_of_the_controls() -> None:
    message = arrays(w=[1, 1], control__w=[0.5, 0])
    steering = ScaffoldSite().steering(message, arrays(control__w=[0.25, 1]))
    assert steering is not None
    assert (steering.pull, steering.shift["w"].tolist()) == (0, [0.25, -1])


def test_option_ii_of_scaffold_by_hand() -> None:
    """c_i+ = c_i - c + (x - y) / (K eta): 0.25 - 0.5 + (1 - 0) / 2 = 0.25, and 1 - 0 + (1 - 3) / 2 = 0."""
    message = arrays(w=[1, 1], control__w=[0.5, 0])
    sent, kept = ScaffoldSite().hand_in(message, arrays(control__w=[0.25, 1]), arrays(w=[0, 3]), 2.0)
    assert kept["control/w"].tolist() == [0.25, 0]
    assert {name: array.tolist() for name, array in sent.items()} == {"w": [0, 3], "control/w": [0, -1]}


def test_the_centre_moves_model_and_control_by_who_took_part() -> None:
    """x = (1*2 + 3*6)/4 = 5 at full rate; c moves by (4 of 8 cases) * (1*4 + 3*8)/4 = 3.5."""
    before = arrays(w=[1], control__w=[0.5])
    parts = [update("A", 1, arrays(w=[2], control__w=[4])), update("B", 3, arrays(w=[6], control__w=[8]))]
    for rate, w in ((1, 5), (0.5, 3)):
        made = Scaffold(before, learning_rate=rate, total=8).combine(parts, specs(before))
        assert {name: array.tolist() for name, array in made.items()} == {"w": [w], "control/w": [4]}
    with pytest.raises(KonsilError, match="leaves the range"):
        Scaffold(arrays(w=[3e38], control__w=[0]), learning_rate=10, total=1).combine(
            [update("A", 1, arrays(w=[-3e38], control__w=[0]))], specs(before)
        )


def test_the_first_message_of_scaffold_has_controls_of_zero_for_floating_tensors() -> None:
    model = {**arrays(w=[1, 2]), "n": np.ones(1, np.int64)}
    message = with_controls(model)
    assert list(message) == ["w", "n", "control/w"]
    assert message["control/w"].tolist() == [0, 0]
    assert model_of(message) == model


def quadratic(curvature: float, centre: float, w: Any) -> Any:
    return np.float32(curvature) * (w - np.float32(centre))


def test_scaffold_reaches_the_common_optimum_where_fedavg_drifts() -> None:
    """Two sites with f_i = a_i/2 (w - b_i)^2: the optimum of their mean is (1*0 + 10*1) / 11."""
    sites = {"A": (1.0, 0.0), "B": (10.0, 1.0)}
    best, ends = 10 / 11, {}
    for corrected in (False, True):
        message = with_controls(arrays(w=[0.0]))
        kept: dict[str, Any] = {site: {} for site in sites}
        site_rule = ScaffoldSite() if corrected else SiteRule()
        for _ in range(60):
            parts = []
            for site, (a, b) in sites.items():
                steering = site_rule.steering(message, kept[site])
                w = message["w"].copy()
                for _step in range(10):
                    shift = 0 if steering is None else steering.shift["w"]
                    w = w - np.float32(0.05) * (quadratic(a, b, w) + shift)
                sent, kept[site] = site_rule.hand_in(message, kept[site], {"w": w}, 0.5)
                parts.append(update(site, 1, sent))
            if corrected:
                message = Scaffold(message, learning_rate=1, total=2).combine(parts, specs(message))
            else:
                message = {**message, **FedAvg().combine(parts, specs({"w": message["w"]}))}
        ends[corrected] = abs(float(message["w"][0]) - best)
    assert ends[True] < 1e-3
    assert ends[False] > 0.1
