"""Training at a site: nnU-Net's trainer kept warm between rounds, and able to start cold at any round.

A round sets the global weights, gives the optimizer the momentum it had after this site's last round, seeds each epoch
by its number, and runs nnU-Net's own epoch. So the result of a round depends on the recipe, the global weights, the
kept momentum and the cohort, and not on whether the process has just been started.
"""

from __future__ import annotations

import atexit
import logging
import math
import time
import weakref
from pathlib import Path
from typing import Any

import torch
from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter
from nnunetv2.utilities.find_class_by_name import recursive_find_python_class

from konsil.cohort.frozen import FrozenCohort
from konsil.errors import BadMessage, BadSetting, Diverged, Missing
from konsil.files import read_json
from konsil.learners.nnunet import device, environment, gpu_memory, keepsake, momenta, preparation, tensors
from konsil.learners.nnunet.meter import Meter
from konsil.learners.nnunet.recipe import PLANS, configuration_of, settings_of
from konsil.learners.nnunet.steering import steered
from konsil.learners.protocol import Update
from konsil.types import Json, Steering, Tensors

log = logging.getLogger(__name__)
FEDERATED, ALONE = "federated", "alone"


def find_trainer() -> Any:
    """Our trainer, by nnU-Net's own lookup in the folder that `nnUNet_extTrainer` names.

    nnU-Net would first import all of its built-in trainers, some of which need torchvision; this is the same function
    that it calls for the external folders.
    """
    folder = str(environment.TRAINERS)
    found = recursive_find_python_class(
        folder, "KonsilTrainer", None, base_folder=folder, cleanup_imports_from_base_folder=True
    )
    if found is None:
        raise Missing("nnU-Net does not find Konsil's trainer", expected=f"a class KonsilTrainer below {folder}")
    return found


class Session:
    """The trainer of one site in one federation. `folder` is `<home>/runs/<run>/nnunet`.

    `extra_rounds`: how many more rounds than its recipe plans an extension has given the federation.
    """

    def __init__(self, home: Path, folder: Path, extra_rounds: int = 0) -> None:
        self.home, self.folder, self.extra_rounds = home, folder, extra_rounds
        self.trainer: Any = None
        self.made_from: Json = {}
        self.last: tuple[str, int] | None = None  # chain and round whose momentum the warm optimizer holds
        self.loaders: list[Any] = []
        self.meter = Meter()
        atexit.register(weakref.finalize(self, finish, self.loaders))  # whichever comes first

    def round(
        self,
        cohort: FrozenCohort,
        recipe: Json,
        weights: Tensors,
        number: int,
        *,
        chain: str = FEDERATED,
        steering: Steering | None = None,
    ) -> Update:
        """Train round `number` (1 … rounds) from `weights`, steered, and keep what the next round of `chain` needs.

        Exhausted where the GPU is full: then nothing is kept, on the card either. The batch stays what was planned.
        """
        rounds = recipe["plans"]["konsil"]["rounds"] + self.extra_rounds
        if not 1 <= number <= rounds:
            raise BadSetting("there is no such round", expected=f"1 to {rounds}", got=str(number))
        preparation.require_ready(self.home, cohort, recipe)
        with gpu_memory.enough("this round was not trained", self.close):
            update = self._round(cohort, recipe, weights, number, chain, steering)
        gpu_memory.give_back()
        log.info("round %d of %d (%s): %s", number, rounds, chain, spoken(update.metrics))
        return update

    def _round(
        self, cohort: FrozenCohort, recipe: Json, weights: Tensors, number: int, chain: str, steering: Steering | None
    ) -> Update:
        """The round itself; where the GPU is full, all that this function knows is dropped."""
        began = time.monotonic()
        trainer = self.warm(cohort, recipe)
        given, momentum = momenta.parted(weights)
        tensors.write(trainer.network, given)
        self.remember(trainer, recipe, number, chain, momentum)
        with steered(trainer, steering) as rates:
            self.train(trainer, recipe, number)
        metrics = self.judge(trainer, number)
        trained = tensors.read(trainer.network)
        kept = keepsake.take(trainer, number)
        if settings_of(recipe).optimizer_state == "share":
            trained |= momenta.handed_in(trainer.network, kept)
        keepsake.save(self.folder / chain, kept, recipe["sha256"], weights=trained if chain == ALONE else None)
        self.last = (chain, number)
        self.meter.dice = metrics.get("pseudo_dice", self.meter.dice)
        metrics["seconds"] = time.monotonic() - began
        return Update(trained, len(cohort.split("train")), trainer.steps_done, metrics, rates.total)

    def train(self, trainer: Any, recipe: Json, number: int) -> None:
        """The epochs of round `number`. Their gradients are not kept: nobody reads them again."""
        epochs = settings_of(recipe).local_epochs
        trainer.current_epoch = (number - 1) * epochs
        trainer.steps_done = 0
        self.meter.begin(number, recipe["plans"]["konsil"]["rounds"] + self.extra_rounds, epochs)
        for _ in range(epochs):
            run_epoch(trainer)
        trainer.optimizer.zero_grad(set_to_none=True)

    def alone(self, cohort: FrozenCohort, recipe: Json, weights: Tensors) -> Tensors:
        """Train all rounds without exchange, going on after the last round that was kept."""
        rounds = recipe["plans"]["konsil"]["rounds"]
        kept = keepsake.load(self.folder / ALONE, recipe["sha256"], before=rounds + 1)
        done, current = (kept.round, kept.weights) if kept is not None else (0, weights)
        for number in range(done + 1, rounds + 1):
            current = self.round(cohort, recipe, current, number, chain=ALONE).tensors
        return current

    def remember(self, trainer: Any, recipe: Json, number: int, chain: str, shared: Tensors) -> None:
        """Give the optimizer its momentum: that of this chain's last round, unless it is still there; none; `shared`.

        The gradient scaler's state is always this site's.
        """
        policy = settings_of(recipe).optimizer_state
        if policy != "keep" or self.last != (chain, number - 1):
            kept = keepsake.load(self.folder / chain, recipe["sha256"], before=number)
            if policy != "keep":
                kept = keepsake.with_momentum(kept, shared if policy == "share" else {})
            keepsake.put(trainer, kept)
        self.last = None  # until this round has ended, nobody knows what the optimizer holds

    def warm(self, cohort: FrozenCohort, recipe: Json) -> Any:
        """The trainer with network and loaders, made at the first call and when recipe or cohort change."""
        made_from = preparation.edition(self.home, cohort, recipe)
        if self.trainer is None or self.made_from != made_from:
            self.close()
            self.trainer, self.last = start(self.home, recipe, self.extra_rounds), None
            self.trainer.after_batch = self.meter.after_batch
            self.loaders += [self.trainer.dataloader_train, self.trainer.dataloader_val]
            self.made_from = made_from
        return self.trainer

    def close(self) -> None:
        """Let the trainer go, and its worker processes with it."""
        self.trainer = None
        finish(self.loaders)

    def judge(self, trainer: Any, number: int) -> dict[str, float]:
        """The round's figures. Diverged if the loss is not a number: such weights must not be sent."""
        seen = trainer.logger.values
        last = trainer.current_epoch - 1
        loss = float(seen["train_losses"][last])
        if not math.isfinite(loss):
            raise Diverged(
                "loss",
                f"the training loss of round {number} is not a number, so there is nothing to hand in",
                hint="Lower the charter's learning rate or momentum, or look for odd intensities in the cohort",
            )
        names = {"val_losses": "validation_loss", "mean_fg_dice": "pseudo_dice", "lrs": "learning_rate"}
        figures = {name: float(seen[key][last]) for key, name in names.items() if last in seen.get(key, {})}
        return {"train_loss": loss, **{name: value for name, value in figures.items() if math.isfinite(value)}}


def start(home: Path, recipe: Json, extra_rounds: int = 0) -> Any:
    """Make nnU-Net's trainer for the preprocessed data of this recipe and open its loaders."""
    settings = settings_of(recipe)
    folder = preparation.folder_of(home, recipe)
    plans = {**read_json(folder / f"{PLANS}.json"), "continue_training": False}
    plans["konsil"] = {**plans["konsil"], "rounds": plans["konsil"]["rounds"] + extra_rounds}
    place = device.chosen(settings.device)
    device.set_up(place, settings)
    trainer = find_trainer()(plans, configuration_of(recipe), 0, read_json(folder / "dataset.json"), place)
    trainer.on_train_start()
    named = recipe["plans"]["konsil"].get("norms")
    if named is not None and named != tensors.norms(trainer.network):
        raise BadMessage("the recipe names other normalisation layers than the network has", hint="Ask the centre")
    return trainer


def finish(loaders: list[Any]) -> None:
    """Stop the processes that augment, as nnU-Net does after its last epoch; a second call does nothing.

    Where they die with their parent instead, the thread that collects their batches ends in a traceback.
    """
    while loaders:
        loader = loaders.pop()
        if isinstance(loader, NonDetMultiThreadedAugmenter):
            loader._finish()


def run_epoch(trainer: Any) -> None:
    """One epoch of nnU-Net: the body of the loop in `nnUNetTrainer.run_training` (2.8.1)."""
    trainer.on_epoch_start()
    trainer.on_train_epoch_start()
    steps = [trainer.train_step(next(trainer.dataloader_train)) for _ in range(trainer.num_iterations_per_epoch)]
    trainer.on_train_epoch_end(steps)
    with torch.no_grad():
        trainer.on_validation_epoch_start()
        count = trainer.num_val_iterations_per_epoch
        trainer.on_validation_epoch_end([trainer.validation_step(next(trainer.dataloader_val)) for _ in range(count)])
    trainer.on_epoch_end()


def spoken(metrics: dict[str, float]) -> str:
    """Figures for a log line."""
    return ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
