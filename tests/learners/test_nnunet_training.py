"""Rounds of nnU-Net: what a site hands in depends on recipe, weights and data, not on the process's past."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from konsil.errors import BadSetting, Missing, Refused
from konsil.learners.nnunet import preparation, session
from konsil.learners.nnunet.dataset import dataset_name


@pytest.fixture
def site(make_cohort, make_learner):
    """A prepared site: home, cohort, recipe and first weights."""
    home, cohort = make_cohort("A")
    learner = make_learner(home)
    recipe = learner.plan({"A": learner.fingerprint(cohort)})
    learner.prepare(cohort, recipe)
    return home, cohort, recipe, learner.initial(recipe)


def same(a, b) -> bool:
    return list(a) == list(b) and all(np.array_equal(a[name], b[name]) for name in a)


def test_first_weights_come_from_the_seed(site, make_learner):
    home, _, recipe, weights = site
    torch.manual_seed(999)
    assert same(weights, make_learner(home).initial(recipe))


def test_a_round_says_what_was_done(site, make_learner):
    home, cohort, recipe, weights = site
    update = make_learner(home).train(cohort, recipe, weights, 1)
    assert (update.cases, update.steps) == (2, 3)
    assert set(update.metrics) >= {"train_loss", "validation_loss", "learning_rate", "seconds"}
    assert all(math.isfinite(value) for value in update.metrics.values())
    assert not same(update.tensors, weights)


def test_the_learning_rate_follows_the_federation(site, make_learner):
    home, cohort, recipe, weights = site
    learner = make_learner(home)
    rates = [learner.train(cohort, recipe, weights, number).metrics["learning_rate"] for number in (1, 2)]
    assert rates == pytest.approx([0.03, 0.03 * 0.5**0.9])


def test_an_extension_follows_the_learning_rate_of_the_longer_way(site, make_learner):
    """The recipe stays that of the charter's two rounds; round 3 of 4 is the third epoch of four."""
    home, cohort, recipe, weights = site
    longer = make_learner(home, extra_rounds=2)
    assert longer.train(cohort, recipe, weights, 3).metrics["learning_rate"] == pytest.approx(0.03 * 0.5**0.9)
    with pytest.raises(BadSetting, match="1 to 4"):
        longer.train(cohort, recipe, weights, 5)


def test_a_process_that_starts_cold_goes_on_like_a_warm_one(site, make_learner):
    home, cohort, recipe, weights = site
    warm = make_learner(home)
    first = warm.train(cohort, recipe, weights, 1).tensors
    second = warm.train(cohort, recipe, first, 2).tensors
    np.random.seed(1)  # another history
    torch.manual_seed(1)
    cold = make_learner(home)
    assert same(cold.train(cohort, recipe, first, 2).tensors, second)


def test_momentum_is_part_of_what_is_kept(site, make_learner):
    home, cohort, recipe, weights = site
    learner = make_learner(home)
    first = learner.train(cohort, recipe, weights, 1).tensors
    second = learner.train(cohort, recipe, first, 2).tensors
    for file in (home / "runs" / "tiny-run" / "nnunet" / "federated").iterdir():
        file.unlink()
    assert not same(make_learner(home).train(cohort, recipe, first, 2).tensors, second)


def test_a_round_asked_twice_gives_the_same_update(site, make_learner):
    """A process killed between training and sending repeats the round, warm or cold."""
    home, cohort, recipe, weights = site
    learner = make_learner(home)
    first = learner.train(cohort, recipe, weights, 1).tensors
    assert same(learner.train(cohort, recipe, weights, 1).tensors, first)
    second = learner.train(cohort, recipe, first, 2).tensors
    assert same(learner.train(cohort, recipe, first, 2).tensors, second)


def test_a_run_that_goes_back_to_an_earlier_round_forgets_the_later_ones(site, make_learner):
    """As after a restored backup: momentum of rounds that were left behind must not push out that of the new ones."""
    home, cohort, recipe, weights = site
    learner = make_learner(home, extra_rounds=1)
    current = weights
    for number in (1, 2, 3):
        current = learner.train(cohort, recipe, current, number).tensors
    first = learner.train(cohort, recipe, weights, 1).tensors
    warm = learner.train(cohort, recipe, first, 2).tensors
    assert same(make_learner(home, extra_rounds=1).train(cohort, recipe, first, 2).tensors, warm)
    kept = home / "runs" / "tiny-run" / "nnunet" / "federated"
    assert sorted(file.name for file in kept.iterdir()) == ["0001.safetensors", "0002.safetensors"]


def test_a_site_that_was_silent_joins_at_a_later_round(site, make_learner):
    home, cohort, recipe, weights = site
    update = make_learner(home).train(cohort, recipe, weights, 2)
    assert update.metrics["learning_rate"] < 0.03


def test_training_alone_goes_on_after_a_kill(site, make_learner, monkeypatch):
    home, cohort, recipe, weights = site
    whole = make_learner(home).baseline(cohort, recipe, weights)
    for file in (home / "runs" / "tiny-run" / "nnunet" / "alone").iterdir():
        file.unlink()
    train = session.Session.round

    def killed(self, cohort, recipe, weights, number, *, chain):
        if number == 2:
            raise KeyboardInterrupt
        return train(self, cohort, recipe, weights, number, chain=chain)

    with monkeypatch.context() as patch:
        patch.setattr(session.Session, "round", killed)
        with pytest.raises(KeyboardInterrupt):
            make_learner(home).baseline(cohort, recipe, weights)
    assert same(make_learner(home).baseline(cohort, recipe, weights), whole)


def test_training_alone_does_not_disturb_the_federation(site, make_learner):
    home, cohort, recipe, weights = site
    learner = make_learner(home)
    first = learner.train(cohort, recipe, weights, 1).tensors
    learner.baseline(cohort, recipe, weights)
    disturbed = learner.train(cohort, recipe, first, 2).tensors
    fresh = make_learner(home)
    assert same(fresh.train(cohort, recipe, first, 2).tensors, disturbed)


def test_a_loss_that_is_not_a_number_is_refused_and_nothing_is_kept(site, make_learner, monkeypatch):
    home, cohort, recipe, weights = site

    def broken(trainer):
        trainer.logger.log("train_losses", float("nan"), trainer.current_epoch)
        trainer.current_epoch += 1

    monkeypatch.setattr(session, "run_epoch", broken)
    with pytest.raises(Refused, match="not a number"):
        make_learner(home).train(cohort, recipe, weights, 1)
    assert not list((home / "runs").rglob("*.safetensors"))


@pytest.mark.parametrize("number", [0, 3])
def test_a_round_beyond_the_charter_is_refused(site, make_learner, number: int):
    home, cohort, recipe, weights = site
    with pytest.raises(BadSetting, match="1 to 2"):
        make_learner(home).train(cohort, recipe, weights, number)


def test_training_before_preprocessing_names_the_step(site, make_learner, make_cohort):
    _, _, recipe, weights = site
    home, cohort = make_cohort("B", seed=5)
    with pytest.raises(Missing, match="prepare"):
        make_learner(home).train(cohort, recipe, weights, 1)


def test_data_that_were_preprocessed_by_another_recipe_are_not_trained_on(site, make_learner, make_cohort):
    """A plan of another site too: a site verifies whose hash its data carry, and makes them anew."""
    home, cohort, recipe, weights = site
    _, other = make_cohort("B", seed=5, edge=24)
    learner = make_learner(home)
    both = learner.plan({"A": learner.fingerprint(cohort), "B": make_learner(other.root).fingerprint(other)})
    assert both["sha256"] != recipe["sha256"]
    with pytest.raises(Missing, match="not preprocessed for this recipe"):
        learner.train(cohort, both, weights, 1)
    learner.prepare(cohort, both)
    learner.train(cohort, both, weights, 1)
    with pytest.raises(Missing, match="not preprocessed for this recipe"):
        learner.train(cohort, recipe, weights, 1)


def test_preprocessing_goes_on_after_a_kill_and_then_does_nothing(site, make_learner, make_cohort, monkeypatch):
    _, _, recipe, _ = site
    home, cohort = make_cohort("B", seed=5)
    run_case, done = preparation.run_case, []

    def counting(out: Path, case, *rest):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(case.name)
        run_case(out, case, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(preparation, "run_case", counting)
        with pytest.raises(KeyboardInterrupt):
            make_learner(home).prepare(cohort, recipe)
    assert not preparation.is_ready(home, cohort, recipe)
    seen = []
    monkeypatch.setattr(
        preparation, "run_case", lambda out, case, *rest: (seen.append(case.name), run_case(out, case, *rest))
    )
    make_learner(home).prepare(cohort, recipe)
    assert len(seen) == 1  # three cases in all, two were whole
    make_learner(home).prepare(cohort, recipe)
    assert len(seen) == 1
    splits = json.loads((home / "nnUNet_preprocessed" / dataset_name("tiny-run") / "splits_final.json").read_text())
    assert [len(splits[0][part]) for part in ("train", "val")] == [2, 1]


def test_a_site_without_validation_cases_trains_and_reports_no_validation(make_cohort, make_learner):
    home, cohort = make_cohort("E", splits=("train", "test"))
    learner = make_learner(home)
    recipe = learner.plan({"E": learner.fingerprint(cohort)})
    learner.prepare(cohort, recipe)
    update = learner.train(cohort, recipe, learner.initial(recipe), 1)
    assert "train_loss" in update.metrics
    assert "validation_loss" not in update.metrics


def test_nnunets_augmentation_is_reproducible_too(site, make_cohort, make_learner):
    home, cohort = make_cohort("F", seed=3)
    learner = make_learner(home, augmentation="default")
    recipe = learner.plan({"F": learner.fingerprint(cohort)})
    learner.prepare(cohort, recipe)
    weights = learner.initial(recipe)
    once = learner.train(cohort, recipe, weights, 1).tensors
    assert same(make_learner(home, augmentation="default").train(cohort, recipe, weights, 1).tensors, once)


def test_every_other_round_whole_validation_images_are_measured(site, make_learner):
    """The same figure as evaluating the handed-in weights, and training goes on as if nobody had measured."""
    home, cohort, recipe, weights = site
    learner = make_learner(home, dice_every=2)
    recipe = learner.plan({"A": learner.fingerprint(cohort)})
    learner.prepare(cohort, recipe)
    first = learner.train(cohort, recipe, weights, 1)
    second = learner.train(cohort, recipe, first.tensors, 2)
    assert "dice" not in first.metrics
    (case,) = learner.evaluate(cohort, recipe, second.tensors, "validation")
    assert second.metrics["dice"] == case.mean()
    never = make_learner(home, dice_every=0)
    plain = never.plan({"A": never.fingerprint(cohort)})
    never.prepare(cohort, plain)
    assert same(never.train(cohort, plain, never.train(cohort, plain, weights, 1).tensors, 2).tensors, second.tensors)


def test_every_batch_is_told_with_its_place_its_loss_and_the_time_left(site, make_learner):
    from konsil.progress import Progress, heard

    home, cohort, recipe, weights = site
    learner, told = make_learner(home), list[Progress]()
    with heard(told.append):
        first = learner.train(cohort, recipe, weights, 1)
        learner.train(cohort, recipe, first.tensors, 2)
    places = [(one.round, one.rounds, one.epoch, one.batch, one.batches) for one in told]
    assert places == [(number, 2, 1, batch, 3) for number in (1, 2) for batch in (1, 2, 3)]
    assert all(math.isfinite(one.loss) for one in told)
    assert [one.left_s is None for one in told] == [True, False, False] * 2  # the first batch starts the clock
    assert told[1].left_s > told[2].left_s > 0 == told[-1].left_s
    assert told[-1].dice == first.metrics.get("pseudo_dice")
