"""nnU-Net's own trainer as a peer: epochs on a site's preprocessed data, in turns with federated rounds.

Only the numbers of batches and epochs are set, as nnU-Net's own variants for other numbers do; nothing is patched.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np

from konsil.files import read_json
from konsil.types import Json, Tensors

ROUNDS = 50  # the paper's
STEPS = 20


class Plain:
    """nnU-Net's own trainer on the same data: only numbers are set, as its own variants for other numbers do."""

    def __init__(self, bench: Any, **changes: Any) -> None:
        from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

        from konsil.learners.nnunet import device, preparation
        from konsil.learners.nnunet.recipe import configuration_of

        self.home, self.settings = bench.home, bench.learner.settings.model_copy(update=changes)
        plans = read_json(preparation.folder_of(bench.home, bench.recipe) / "nnUNetPlans.json")
        self.seed = plans["konsil"]["seed"]
        place = device.chosen(self.settings.device)
        arguments = {**plans, "continue_training": False}, configuration_of(bench.recipe), 0, bench.recipe["dataset"]
        with self.at_home():
            device.set_up(place, self.settings)
            self.trainer: Any = nnUNetTrainer(*arguments, place)
        self.trainer.num_epochs = ROUNDS
        self.trainer.num_iterations_per_epoch = self.settings.batches_per_epoch
        self.trainer.num_val_iterations_per_epoch = self.settings.validation_batches
        self.end, self.trainer.on_epoch_end = self.trainer.on_epoch_end, self.next_epoch

    def at_home(self) -> Any:
        """nnU-Net's variables, the same as for the rounds."""
        from konsil.learners.nnunet import device, environment

        return environment.at(self.home, device.variables(self.settings, self.home))

    def next_epoch(self) -> None:
        """What is left of the end of an epoch without its picture and its checkpoint."""
        self.trainer.current_epoch += 1

    def end_s(self) -> float:
        """Seconds of the end of an epoch as it comes, with picture, log and checkpoint; asked after the last one."""
        began = time.monotonic()
        with self.at_home():
            self.trainer.current_epoch -= 1
            self.end()
        return time.monotonic() - began

    def begin(self, weights: Tensors) -> None:
        """Open the loaders and start from these weights: on a CPU tiny and large numbers take their own time."""
        from konsil.learners.nnunet import tensors

        with self.at_home():
            self.trainer.on_train_start()
            tensors.write(self.trainer.network, weights)

    def level(self, weights: Tensors, trainer: Any) -> None:
        """Start where a round starts: from its weights, and with the momentum of its trainer."""
        from konsil.learners.nnunet import keepsake, tensors

        tensors.write(self.trainer.network, weights)
        keepsake.put(self.trainer, keepsake.take(trainer, 0))

    def has(self, weights: Tensors) -> bool:
        """Whether these are its weights, bit by bit."""
        from konsil.learners.nnunet import tensors

        own = tensors.read(self.trainer.network)
        return all(np.array_equal(own[name], array) for name, array in weights.items())

    def epoch(self, drawn_like: int) -> None:
        """Its next epoch, with the random numbers of round `drawn_like`."""
        from konsil.learners.nnunet.session import run_epoch
        from konsil.learners.nnunet.trainers.konsil_trainer import seed_epoch

        with self.at_home():
            seed_epoch(self.seed, drawn_like - 1)
            run_epoch(self.trainer)

    def step_s(self, batch: Any) -> float:
        """Median seconds of one optimizer step on a batch that is already there."""
        seconds = []
        with self.at_home():
            if not self.trainer.was_initialized:
                self.trainer.initialize()
            self.trainer.network.train()
            for _ in range(3 + STEPS):
                began = time.monotonic()
                self.trainer.train_step(batch)  # ends by reading the loss, so the GPU is done
                seconds.append(time.monotonic() - began)
        return statistics.median(seconds[3:])


def watched_epochs() -> list[float]:
    """The list gets the wall seconds of every epoch from now on, without what a round does around it."""
    from konsil.learners.nnunet import session

    inside: list[float] = []
    run = session.run_epoch

    def watched(trainer: Any) -> None:
        began = time.monotonic()
        run(trainer)
        inside.append(time.monotonic() - began)

    session.run_epoch = watched
    return inside


def summary(found: list[tuple[tuple[float, float], tuple[float, float]]]) -> Json:
    """Medians of seconds and of the pairs' ratios, with their range; CPU seconds are of this process alone."""
    result: Json = {"pairs": len(found)}
    for k, ending in enumerate(("", "_cpu")):
        ratios = [one[k] / plain[k] for one, plain in found]
        result[f"federated_over_plain{ending}"] = statistics.median(ratios)
        result[f"federated_over_plain{ending}_range"] = [min(ratios), max(ratios)]
        result[f"round{ending}_s"] = statistics.median(one[k] for one, _ in found)
        result[f"plain_epoch{ending}_s"] = statistics.median(plain[k] for _, plain in found)
    return result
