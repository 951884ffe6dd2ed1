"""What a sceptic of federated nnU-Net asks first: is one site alone nnU-Net, and do equal sites stay equal?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nnunetv2.training.logging.nnunet_logger import MetaLogger
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from konsil.federation.strategies.contribution import Contribution, Spec
from konsil.federation.strategies.fedavg import FedAvg
from konsil.files import read_json
from konsil.learners.nnunet import device, environment, preparation, tensors
from konsil.learners.nnunet.recipe import configuration_of, settings_of
from konsil.learners.nnunet.trainers.konsil_trainer import seed_epoch

NNUNETS = {"learning_rate": 0.01, "momentum": 0.99, "augmentation": "default"}
ROUNDS = 3


def prepared(learner: Any, cohort: Any) -> Any:
    recipe = learner.plan({"A": learner.fingerprint(cohort)})
    learner.prepare(cohort, recipe)
    return recipe


def plain_training(home: Path, recipe: Any, weights: Any) -> Any:
    """nnU-Net's own `run_training` from these weights, with our seed of each epoch and no other change but numbers."""
    folder, settings = preparation.folder_of(home, recipe), settings_of(recipe)
    plans = {**read_json(folder / "nnUNetPlans.json"), "continue_training": False}
    seed, place = plans["konsil"]["seed"], device.chosen("cpu")
    with environment.at(home, device.variables(settings, home)):
        device.set_up(place, settings)
        trainer: Any = nnUNetTrainer(plans, configuration_of(recipe), 0, recipe["dataset"], place)
        trainer.num_epochs = ROUNDS
        trainer.num_iterations_per_epoch = settings.batches_per_epoch
        trainer.num_val_iterations_per_epoch = settings.validation_batches
        begin = trainer.on_epoch_start
        trainer.on_epoch_start = lambda: (seed_epoch(seed, trainer.current_epoch), begin())
        trainer.initialize()
        tensors.write(trainer.network, weights)
        trainer.run_training()
    return tensors.read(trainer.network)


def test_a_federation_of_one_is_plain_nnunet(make_cohort, make_learner, monkeypatch: pytest.MonkeyPatch):
    """R rounds of one epoch, averaged alone, are R epochs of the unpatched trainer with nnU-Net's own settings."""
    monkeypatch.setattr(MetaLogger, "plot_progress_png", lambda *_: None)  # 30 x 54 inches after every epoch
    home, cohort = make_cohort("A")
    learner = make_learner(home, rounds=ROUNDS, **NNUNETS)
    recipe = prepared(learner, cohort)
    first = learner.initial(recipe)
    current = first
    for number in range(1, ROUNDS + 1):
        current = averaged({"A": learner.train(cohort, recipe, current, number)})
    plain = plain_training(home, recipe, first)
    assert set(plain) == set(current)
    for name, array in plain.items():
        np.testing.assert_allclose(current[name], array, rtol=1e-5, atol=1e-7, err_msg=name)
    assert any(not np.array_equal(plain[name], first[name]) for name in first)


def averaged(updates: dict[str, Any]) -> Any:
    """FedAvg as the centre does it."""

    def contribution(site: str, update: Any) -> Contribution:
        return Contribution(
            site, update.cases, lambda: ((name, 0, array.reshape(-1)) for name, array in update.tensors.items())
        )

    specs = {name: Spec(array.shape, array.dtype.name) for name, array in next(iter(updates.values())).tensors.items()}
    return FedAvg().combine([contribution(*pair) for pair in updates.items()], specs)


def test_sites_with_the_same_patients_stay_equal_to_their_average(make_cohort, make_learner):
    """Three identical copies: every update is the same bits, and so is FedAvg, over two rounds."""
    sites = {}
    for site in ("A", "B", "C"):
        home, cohort = make_cohort(site, subjects="twin")
        learner = make_learner(home, **NNUNETS)
        sites[site] = (learner, cohort, prepared(learner, cohort))
    learner, _, recipe = sites["A"]
    current = first = learner.initial(recipe)
    for number in (1, 2):
        updates = {site: one.train(cohort, its, current, number) for site, (one, cohort, its) in sites.items()}
        current = averaged(updates)
        for update in updates.values():
            assert all(np.array_equal(update.tensors[name], current[name]) for name in current)
    assert any(not np.array_equal(current[name], first[name]) for name in first)
