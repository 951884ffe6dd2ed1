"""What only a card can show: mixed precision, compiling, and the same weights again. Skipped where there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from konsil.learners.nnunet import keepsake

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU here")
BATCHES = {"batches_per_epoch": 10, "augmentation": "default"}  # a new gradient scaler skips the first few
LIKE_NNUNET = {**BATCHES, "device": "auto", "augmentation_workers": 2}
DETERMINISTIC = {**BATCHES, "device": "cuda", "deterministic": True}


@pytest.fixture(autouse=True)
def _compiled_anew() -> None:
    """torch counts how often it compiled one function in a process, and gives up after some times."""
    torch._dynamo.reset()


def site(make_cohort, learner_for, **settings: Any) -> Any:
    home, cohort = make_cohort("A")
    learner = learner_for(home, **settings)
    recipe = learner.plan({"A": learner.fingerprint(cohort)})
    learner.prepare(cohort, recipe)
    return home, cohort, recipe, learner.initial(recipe)


def same(a: Any, b: Any) -> bool:
    return list(a) == list(b) and all(np.array_equal(a[name], b[name]) for name in a)


def test_a_card_trains_as_nnunet_would(make_cohort, make_learner):
    """Compiled, in mixed precision, with worker processes: the same names and shapes are handed in as from a CPU."""
    home, cohort, recipe, weights = site(make_cohort, make_learner, **LIKE_NNUNET)
    learner = make_learner(home, **LIKE_NNUNET)
    first = learner.train(cohort, recipe, weights, 1)
    second = learner.train(cohort, recipe, first.tensors, 2)
    trainer = learner._session.trainer
    assert trainer.device.type == "cuda"
    assert hasattr(trainer.network, "_orig_mod")  # torch.compile has wrapped it
    assert {name: array.shape for name, array in second.tensors.items()} == {n: a.shape for n, a in weights.items()}
    assert not same(second.tensors, first.tensors)
    kept = keepsake.load(home / "runs" / "tiny-run" / "nnunet" / "federated", recipe["sha256"], before=3)
    assert kept is not None
    assert kept.scaler["scale"] > 0
    assert kept.momentum


@pytest.mark.parametrize("compiled", [False, True])
def test_a_seed_gives_the_same_weights_again(make_cohort, make_learner, compiled: bool):
    """Two trainings, a round asked twice, and a process that starts cold at round 2."""
    settings = {**DETERMINISTIC, "compiled": compiled}
    home, cohort, recipe, weights = site(make_cohort, make_learner, **settings)
    one, other = make_learner(home, **settings), make_learner(home, **settings)
    first = one.train(cohort, recipe, weights, 1).tensors
    assert same(other.train(cohort, recipe, weights, 1).tensors, first)
    assert same(one.train(cohort, recipe, weights, 1).tensors, first)
    second = one.train(cohort, recipe, first, 2).tensors
    assert same(make_learner(home, **settings).train(cohort, recipe, first, 2).tensors, second)
