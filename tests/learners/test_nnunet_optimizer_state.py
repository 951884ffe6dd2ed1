"""What becomes of a site's momentum between two rounds: kept there, forgotten, or averaged with the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from konsil.errors import BadSetting
from konsil.federation.charter import parse_charter
from konsil.learners.nnunet.momenta import parted
from konsil.learners.nnunet.settings import parse_settings
from konsil.parties.simulation import Simulation
from tests.learners.conftest import DATA, SETTINGS


@pytest.fixture
def site(make_cohort, make_learner) -> Any:
    """`site(policy, name)`: a prepared site of that policy: home, cohort, recipe, and how to make its learner."""

    def make(policy: str, name: str = "A") -> Any:
        home, cohort = make_cohort(name + policy, subjects=name, seed=ord(name))
        learner = make_learner(home, optimizer_state=policy)
        recipe = learner.plan({"A": learner.fingerprint(cohort)})
        learner.prepare(cohort, recipe)
        return home, cohort, recipe, lambda: make_learner(home, optimizer_state=policy)

    return make


def same(a: Any, b: Any) -> bool:
    return list(a) == list(b) and all(np.array_equal(a[name], b[name]) for name in a)


def forget(home: Path) -> None:
    for file in (home / "runs" / "tiny-run" / "nnunet" / "federated").iterdir():
        file.unlink()


def two_rounds(site: Any) -> tuple[Any, Any]:
    """The updates of a warm site that is alone: what it hands in is what it gets back."""
    _, cohort, recipe, new = site
    learner = new()
    first = learner.train(cohort, recipe, learner.initial(recipe), 1).tensors
    return first, learner.train(cohort, recipe, first, 2).tensors


def test_forgotten_momentum_is_that_of_a_site_that_never_had_any(site):
    home, cohort, recipe, new = kept = site("keep")
    first, going_on = two_rounds(kept)
    forget(home)
    anew = new().train(cohort, recipe, first, 2).tensors
    begun, reset = two_rounds(site("reset"))
    assert same(begun, first)
    assert same(reset, anew)
    assert not same(reset, going_on)


def test_a_site_that_shares_with_nobody_keeps(site):
    """Handed in and got back, momentum is the same bits as kept; and what lies on the disk is not looked at."""
    first, second = two_rounds(site("keep"))
    home, cohort, recipe, new = sharing = site("share")
    shared_first, shared_second = two_rounds(sharing)
    for plain, shared in ((first, shared_first), (second, shared_second)):
        weights, momentum = parted(shared)
        assert same(weights, plain)
        assert set(momentum) == set(weights)
    forget(home)
    assert same(new().train(cohort, recipe, shared_first, 2).tensors, shared_second)
    at_rest = {name: np.zeros_like(a) if name.startswith("momentum/") else a for name, a in shared_first.items()}
    assert not same(new().train(cohort, recipe, at_rest, 2).tensors, shared_second)


def test_a_federation_averages_momentum_and_stores_a_model_without(make_cohort, tmp_path: Path):
    cohorts = {site: make_cohort(site, splits=("train", "test"), seed=k)[1].root for k, site in enumerate("AB")}
    settings = {**SETTINGS, "optimizer_state": "share", "validation_batches": 0}
    charter = parse_charter(
        {"run": "tiny-run", "sites": ["A", "B"], "rounds": 2, "compare_with_local": True, "seed": 3, "data": DATA,
         "learner": {"name": "nnunet", "settings": settings}}
    )  # fmt: skip
    simulation = Simulation(charter, cohorts, tmp_path / "out")
    assert simulation.run().state == "finished"
    assert simulation.summary["evaluation"]["A"]["federated"]["cases"] == 1
    assert simulation.summary["evaluation"]["B"]["local"]["A"]["cases"] == 1  # trained alone, with its momentum
    stored = load_file(tmp_path / "out" / "sites" / "A" / "models" / "tiny-run" / "model.safetensors")
    assert stored
    assert not parted(stored)[1]


def test_without_momentum_there_is_nothing_to_share():
    with pytest.raises(BadSetting, match="optimizer_state share needs a momentum"):
        parse_settings({"optimizer_state": "share", "momentum": 0})


def test_momentum_of_layers_that_stay_at_a_site_stays_there_too(site):
    """FedBN keeps what the learner calls norms."""
    _, _, recipe, new = site("share")
    learner = new()
    norms = set(learner.norms(recipe))
    assert norms < set(learner.initial(recipe))
    weights = {name for name in norms if not name.startswith("momentum/")}
    assert weights
    assert norms == weights | {f"momentum/{name}" for name in weights}
