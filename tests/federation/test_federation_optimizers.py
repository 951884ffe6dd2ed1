"""Optimisers at the centre, with numbers that can be followed in the head: two weights, β = ½, τ = 1."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from konsil.errors import KonsilError
from konsil.federation.strategies.contribution import Chunk, Contribution, Spec, Specs
from konsil.federation.strategies.fedadam import FedAdam
from konsil.federation.strategies.fedavg import FedAvg
from konsil.federation.strategies.fedavgm import FedAvgM
from konsil.federation.strategies.fedyogi import FedYogi

SPECS: Specs = {"w": Spec((2, 1), "float32"), "n": Spec((1,), "int64")}
HALF: dict[str, Any] = {"learning_rate": 12, "beta_1": 0.5, "beta_2": 0.5, "tau": 1}


def model(*values: float, steps: int = 0) -> dict[str, NDArray[Any]]:
    return {"w": np.array(values, np.float32).reshape(2, 1), "n": np.array([steps])}


def update(site: str, weight: int, tensors: dict[str, NDArray[Any]]) -> Contribution:
    def chunks() -> Iterator[Chunk]:
        for name, array in tensors.items():
            yield name, 0, array.reshape(-1)

    return Contribution(site, weight, chunks)


def flat(tensors: Any) -> list[float]:
    return [float(value) for value in tensors["w"].reshape(-1)]


def test_momentum_goes_on_where_the_sites_went_before() -> None:
    first = FedAvgM(model(0, 0), {}, learning_rate=1, momentum=0.5)
    made = first.combine([update("A", 1, model(0, 4, steps=3)), update("B", 1, model(4, 4, steps=3))], SPECS)
    assert flat(made) == [2, 4]
    assert made["n"].tolist() == [3]  # whole numbers are not stepped
    second = FedAvgM(made, first.memory, learning_rate=1, momentum=0.5)
    made = second.combine([update("A", 1, model(4, 4))], SPECS)  # Δ = 2, 0; m = 3, 2
    assert flat(made) == [5, 6]
    assert flat({"w": second.memory["m/w"]}) == [3, 2]


def test_no_momentum_and_rate_one_is_fedavg() -> None:
    updates = [update("A", 1, model(0.5, 4)), update("B", 3, model(0.25, 8))]
    made = FedAvgM(model(1, 2), {}, learning_rate=1, momentum=0).combine(updates, SPECS)
    assert flat(made) == flat(FedAvg().combine(updates, SPECS))


def test_adam_of_the_paper_over_two_rounds() -> None:
    first = FedAdam(model(0, 0), {}, **HALF)
    made = first.combine([update("A", 2, model(1, 7))], SPECS)  # m = ½, 3½; v = 1, 25
    assert flat(made) == [3, 7]
    second = FedAdam(made, first.memory, **HALF)
    made = second.combine([update("A", 2, model(4, 12))], SPECS)  # Δ = 1, 5; m = ¾, 4¼; v = 1, 25
    assert flat(made) == [7.5, 15.5]


def test_yogi_of_the_paper() -> None:
    rule = FedYogi(model(0, 0), {}, **HALF)
    assert flat(rule.combine([update("A", 2, model(1, 4))], SPECS)) == [3, 6]  # v = 1, 1 + 8; m = ½, 2
    assert rule.second_moment(np.array([9.0]), np.array([4.0])).tolist() == [7]  # Adam's would be 6½


@pytest.mark.parametrize("kind", [FedAdam, FedYogi])
def test_an_adaptive_step_is_bounded_however_large_the_update(kind: type[FedAdam]) -> None:
    rule = kind(model(0, 0), {}, learning_rate=0.01, beta_1=0.9, beta_2=0.99, tau=1e-3)
    made = rule.combine([update("A", 1, model(1e9, -1e9))], SPECS)
    assert np.abs(made["w"]).max() <= 0.0101  # η (1 - β1) / √(1 - β2) = η


def test_memory_is_kept_in_the_models_dtype_but_at_least_float32() -> None:
    specs = {"h": Spec((1,), "float16"), "d": Spec((1,), "float64")}
    before = {"h": np.zeros(1, np.float16), "d": np.zeros(1)}
    rule = FedAvgM(before, {}, learning_rate=1, momentum=0.9)
    made = rule.combine([update("A", 1, {"h": np.ones(1, np.float16), "d": np.ones(1)})], specs)
    assert [made[name].dtype.name for name in specs] == ["float16", "float64"]
    assert {name: array.dtype.name for name, array in rule.memory.items()} == {"m/h": "float32", "m/d": "float64"}


def test_a_step_beyond_the_dtype_is_said_and_not_taken() -> None:
    rule = FedAvgM(model(-3e38, 0), {}, learning_rate=1, momentum=0)
    rule.learning_rate = 10
    with pytest.raises(KonsilError, match=r"leaves the range of float32 in tensor w.*smaller learning_rate"):
        rule.combine([update("A", 1, model(3e38, 0))], SPECS)
