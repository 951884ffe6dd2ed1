"""Updates in 16 bits: the vectors of the specification, the bound on what is lost, and every check."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from konsil.errors import BadMessage, Refused
from konsil.federation import delta16
from konsil.federation.delta16 import EXPONENTS
from konsil.federation.strategies.contribution import Chunk, Contribution, Reading, Spec, Unusable
from konsil.federation.update_form import UpdateForm

VECTORS = Path(__file__).parents[1] / "vectors" / "delta16"
NAMES = sorted(path.stem for path in VECTORS.glob("*.json"))


def load(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text())


def numbers(text: str, dtype: str) -> Any:
    return np.frombuffer(bytes.fromhex(text), dtype)


def stream(tensors: Any, step: int = 1 << 20) -> Iterator[Chunk]:
    for name, array in tensors.items():
        flat = array.reshape(-1)
        for begin in range(0, flat.size, step):
            yield name, begin, flat[begin : begin + step]


def specs(tensors: Any) -> dict[str, Spec]:
    return {name: Spec(array.shape, array.dtype.name) for name, array in tensors.items()}


def read(posted: Any, base: Any, step: int = 1 << 20) -> dict[str, Any]:
    """The update as an aggregator reads it, with every check."""
    found = {name: np.zeros(array.size, array.dtype) for name, array in base.items()}

    def opened() -> Iterator[Chunk]:
        return UpdateForm(specs(base), "delta16").read(
            stream(posted, step),
            specs(posted),
            lambda name, offset, size: base[name].reshape(-1)[offset : offset + size],
        )

    for name, offset, chunk in Reading(Contribution("A", 1, opened), specs(base)).chunks():
        found[name][offset : offset + chunk.size] = chunk
    return {name: found[name].reshape(array.shape) for name, array in base.items()}


@pytest.mark.parametrize("name", [name for name in NAMES if "refused" not in load(name)])
def test_a_vector_is_written_and_read_bit_by_bit(name: str) -> None:
    case = load(name)
    base, trained = {"w": numbers(case["base"], "<f4")}, {"w": numbers(case["trained"], "<f4")}
    posted = delta16.encode(trained, base)
    assert posted[EXPONENTS].tolist() == [case["exponent"]]
    assert posted["w"].astype("<f2").tobytes().hex() == case["half"]
    assert read(posted, base)["w"].astype("<f4").tobytes().hex() == case["read"]


@pytest.mark.parametrize("name", [name for name in NAMES if "refused" in load(name)])
def test_a_vector_that_must_be_refused_is_refused(name: str) -> None:
    case = load(name)
    posted = {EXPONENTS: np.array(case["exponents"], np.int16), "w": numbers(case["half"], "<f2")}
    with pytest.raises(Unusable, match=case["refused"]):
        read(posted, {"w": numbers(case["base"], "<f4")})


@given(
    st.lists(
        st.tuples(st.floats(-(2.0**100), 2.0**100, width=32), st.floats(-(2.0**100), 2.0**100, width=32)),
        min_size=1,
        max_size=20,
    )
)
def test_what_is_lost_is_bounded(pairs: list[tuple[float, float]]) -> None:
    """A 2^-11th of the difference or a 2^-39th of the largest, and the rounding of the sum to float32."""
    g, w = np.array(pairs, np.float32).T.copy()
    got = read(delta16.encode({"w": w}, {"w": g}), {"w": g})["w"].astype(np.float64)
    change = np.abs(w.astype(np.float64) - g)
    allowed = np.maximum(change * 2.0**-11, change.max() * 2.0**-39) + np.abs(got) * 2.0**-24 + 2.0**-150
    assert (np.abs(got - w) <= allowed).all()


def test_the_result_does_not_depend_on_how_the_stream_is_cut() -> None:
    draw = np.random.default_rng(0)
    base = {"a": draw.normal(size=(3, 5)).astype(np.float32), "n": np.arange(4), "b": np.ones(7, np.float32)}
    trained = {name: array + 1 if name == "n" else array * np.float32(1.01) for name, array in base.items()}
    posted = delta16.encode(trained, base)
    whole, pieces = read(posted, base), read(posted, base, step=3)
    assert all(np.array_equal(whole[name], pieces[name]) for name in base)
    assert whole["n"].tolist() == [1, 2, 3, 4]


def test_controls_are_differences_already() -> None:
    base = {"w": np.ones(2, np.float32), "control/w": np.full(2, 100, np.float32)}
    posted = delta16.encode({"w": np.ones(2, np.float32), "control/w": np.full(2, 0.5, np.float32)}, base)
    assert read(posted, base)["control/w"].tolist() == [0.5, 0.5]


def test_the_table_of_an_update_is_known_before_it_comes() -> None:
    model = {"a": np.zeros((2, 3), np.float32), "n": np.zeros(1, np.int64), "b": np.zeros(4)}
    form = UpdateForm(specs(model), "delta16", stays=frozenset("b"))
    held = {"a": model["a"], "n": model["n"]}
    assert form.fault(specs(delta16.encode(held, model))) == ""
    assert "1 are missing" in form.fault(specs(held))  # full precision
    assert "are unknown" in form.fault(specs(delta16.encode(model, model)))  # what should stay
    assert "2 are unknown" in UpdateForm(specs(model)).fault(
        {**specs(model), "x": Spec((), "int8"), "y": Spec((), "int8")}
    )
    assert UpdateForm(specs(model), may_lack=True).fault({}) == "it holds none of the model's tensors"


def test_a_training_without_finite_numbers_hands_in_nothing() -> None:
    with pytest.raises(Refused, match="not finite"):
        delta16.encode({"w": np.array([np.inf], np.float32)}, {"w": np.zeros(1, np.float32)})


def test_an_update_that_does_not_begin_with_its_exponents_is_refused() -> None:
    with pytest.raises(BadMessage, match="does not begin"):
        list(
            delta16.decoded(
                stream({"w": np.zeros(1, np.float16)}), {"w": Spec((1,), "float32")}, lambda *at: np.zeros(1)
            )
        )
