"""nnU-Net's own trainer as a peer: epochs on a site's preprocessed data, in turns with federated rounds.

Only the numbers of batches and epochs are set, as nnU-Net's own variants for other numbers do; nothing is patched.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

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
        self.end, self.trainer.on_epoch_end = self.trainer.on_epoch_end, self.timed_end
        self.ends: list[tuple[float, float]] = []

    def at_home(self) -> Any:
        """nnU-Net's variables, the same as for the rounds."""
        from konsil.learners.nnunet import device, environment

        return environment.at(self.home, device.variables(self.settings, self.home))

    def timed_end(self) -> None:
        """Its picture, its log and its checkpoint, timed apart."""
        wall, cpu = time.monotonic(), time.process_time()
        self.end()
        self.ends.append((time.monotonic() - wall, time.process_time() - cpu))

    def begin(self, weights: Tensors) -> None:
        """Open the loaders and start from these weights: on a CPU tiny and large numbers take their own time."""
        from konsil.learners.nnunet import tensors

        with self.at_home():
            self.trainer.on_train_start()
            tensors.write(self.trainer.network, weights)

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


def summary(found: list[tuple[tuple[float, float], ...]]) -> Json:
    """Medians of seconds and of the pairs' ratios, with their range; CPU seconds are of this process alone."""
    wall = [(one[0], plain[0] - end[0]) for one, plain, end in found]
    cpu = [one[1] / (plain[1] - end[1]) for one, plain, end in found]
    ratios = [one / plain for one, plain in wall]
    return {
        "federated_over_plain": statistics.median(ratios),
        "federated_over_plain_range": [min(ratios), max(ratios)],
        "federated_over_plain_cpu": statistics.median(cpu),
        "federated_over_plain_cpu_range": [min(cpu), max(cpu)],
        "round_s": statistics.median(one for one, _ in wall),
        "plain_epoch_s": statistics.median(plain for _, plain in wall),
        "plain_picture_and_checkpoint_s": statistics.median(end[0] for _, _, end in found),
        "pairs": len(found),
    }
