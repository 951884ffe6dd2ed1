"""Noise on updates: what it does to the numbers, what it promises, and that nothing leaves beside it."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from konsil.errors import BadSetting, Refused
from konsil.federation.charter import Charter, parse_charter
from konsil.federation.noise import Noise, protected
from konsil.federation.privacy import Privacy

KEY = bytes(range(32))
RULES: dict[str, Any] = {"clip_norm": 5.0, "noise_multiplier": 2.0}


def charter(**rules: Any) -> Charter:
    return parse_charter(
        {"run": "ms-2026", "sites": ["A", "B"], "compare_with_local": False, "privacy": RULES, **rules}
    )


def test_the_noise_is_standard_normal_and_independent() -> None:
    """Kolmogorov-Smirnov distance below 1.95/sqrt(n), p < 0.001 otherwise; the key is fixed, so it never flickers."""
    n = 20001
    drawn = Noise(KEY).normal((n,))
    steps = np.sort(drawn)
    cdf = np.array([NormalDist().cdf(x) for x in steps])
    assert np.abs(cdf - (np.arange(n) + 0.5) / n).max() < 1.95 / math.sqrt(n)
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 3.3 / math.sqrt(n)
    assert abs(np.corrcoef(drawn[: n // 2], drawn[n // 2 + 1 :])[0, 1]) < 3.3 / math.sqrt(
        n / 2
    )  # cosine and sine halves


def test_two_draws_differ_and_a_key_repeats() -> None:
    assert not np.array_equal(Noise().normal((4,)), Noise().normal((4,)))
    assert np.array_equal(Noise(KEY).normal((3, 2)), Noise(KEY).normal((6,)).reshape(3, 2))
    stream = Noise(KEY)
    assert not np.array_equal(stream.normal((4,)), stream.normal((4,)))


def test_a_long_change_is_shortened_and_a_short_one_is_not() -> None:
    base = {"a": np.ones(1, np.float32), "b": np.ones(1, np.float32)}
    quiet = Privacy(clip_norm=5, noise_multiplier=1e-12)
    made, length = protected({"a": np.full(1, 7, np.float32), "b": np.full(1, 9, np.float32)}, base, quiet, Noise(KEY))
    assert length == 10
    assert [float(made[name][0]) for name in "ab"] == pytest.approx([4, 5])  # (6, 8) becomes (3, 4)
    made, length = protected({"a": np.full(1, 4, np.float32), "b": np.full(1, 5, np.float32)}, base, quiet, Noise(KEY))
    assert length == 5
    assert [float(made[name][0]) for name in "ab"] == pytest.approx([4, 5])


def test_the_noise_has_the_charters_deviation() -> None:
    base = {"w": np.zeros(40_000, np.float32)}
    made, _ = protected(base, base, Privacy(**RULES), Noise(KEY))
    assert float(made["w"].std()) == pytest.approx(10, rel=0.02)
    assert made["w"].dtype == np.float32


@pytest.mark.parametrize(
    ("tensors", "why"),
    [
        ({"n": np.ones(1, np.int64)}, "cannot be sent with noise"),
        ({"control/w": np.ones(1, np.float32)}, "cannot be sent with noise"),
        ({"w": np.full(1, np.nan, np.float32)}, "not finite"),
    ],
)
def test_what_cannot_be_noised_does_not_leave(tensors: Any, why: str) -> None:
    with pytest.raises(Refused, match=why):
        protected(tensors, {name: np.zeros(1, np.float32) for name in tensors}, Privacy(**RULES), Noise(KEY))


def spent(multiplier: float, rounds: int, delta: float) -> float:
    """The exact epsilon of composed Gaussian mechanisms (Dong, Roth, Su 2022, corollary 2.13), by bisection."""
    mu, phi = math.sqrt(rounds) / multiplier, NormalDist().cdf
    low, high = 0.0, 700.0
    while high - low > 1e-9:
        e = (low + high) / 2
        at = phi(-e / mu + mu / 2) - math.exp(e) * phi(-e / mu - mu / 2)
        low, high = (e, high) if at > delta else (low, e)
    return high


@pytest.mark.parametrize(("z", "rounds"), [(2, 1), (10, 10), (20, 50), (100, 50), (1000, 10)])
def test_the_accountant_is_above_the_exact_epsilon_and_near_it(z: float, rounds: int) -> None:
    """The multiplier that counts is z / 2: replacing all data of a site moves a clipped update by up to 2C."""
    told, exact = Privacy(clip_norm=1, noise_multiplier=z).epsilon(rounds), spent(z / 2, rounds, 1e-5)
    assert exact <= told < 1.25 * exact + 0.05


def test_the_custodian_reads_what_is_protected() -> None:
    (sentence,) = [line for line in charter(rounds=10).what_leaves_the_site() if "epsilon" in line]
    assert "shortened to length 5 and Gaussian noise of standard deviation 10" in sentence
    assert f"epsilon {Privacy(**RULES).epsilon(10):.3g} at delta 1e-05" in sentence
    assert "not covered" in sentence
    assert not any("epsilon" in line for line in charter(privacy=None).what_leaves_the_site())


def test_without_noise_a_charter_is_written_as_before() -> None:
    plain = charter(privacy=None).model_dump(mode="json")
    assert not {"privacy", "precision"} & set(plain)
    noisy = charter(precision="delta16")
    assert parse_charter(noisy.model_dump(mode="json")) == noisy


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"compare_with_local": True}, "compare_with_local is not usable; expected false"),
        ({"strategy": "scaffold"}, "privacy is not usable; expected null under scaffold"),
        ({"privacy": {**RULES, "clip_norm": 0}}, "privacy.clip_norm"),
        ({"privacy": {**RULES, "noise_multiplier": 0}}, "privacy.noise_multiplier"),
        ({"privacy": {**RULES, "delta": 0}}, "privacy.delta"),
        ({"privacy": {**RULES, "seed": 7}}, "privacy.seed"),
        ({"privacy": {"clip_norm": 1}}, "privacy.noise_multiplier"),
    ],
)
def test_a_charter_with_a_hole_is_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadSetting, match=sentence):
        charter(**change)
