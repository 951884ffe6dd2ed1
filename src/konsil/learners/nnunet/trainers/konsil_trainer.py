"""nnU-Net's trainer with the settings of a charter, found by nnU-Net itself through `nnUNet_extTrainer`.

What differs from `nnUNetTrainer`: the numbers come from the plans (`plans["konsil"]`), every epoch is seeded by its own
number so that the order of the data does not depend on what the process did before, momentum is a setting, augmentation
can be off (as in nnU-Net's nnUNetTrainerNoDA), and no picture or checkpoint is written after an epoch.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


def seed_epoch(seed: int, epoch: int) -> None:
    """Draw the random numbers of one epoch from a site's seed and the epoch's number, in all three libraries."""
    drawn = np.random.SeedSequence([seed, epoch]).generate_state(3)
    random.seed(int(drawn[0]))
    np.random.seed(int(drawn[1]))
    torch.manual_seed(int(drawn[2]))


class Record:
    """The figures of each epoch, in place of nnU-Net's logger, which wants every epoch since 0 in the same process."""

    def __init__(self) -> None:
        self.values: dict[str, dict[int, Any]] = {}

    def log(self, key: str, value: Any, step: int) -> None:
        """Keep one figure of one epoch; a repeated epoch replaces its figures."""
        self.values.setdefault(key, {})[step] = value

    def get_value(self, key: str, step: int | None) -> Any:
        """One epoch's figure, the latest for -1, all in order for None."""
        kept = self.values.get(key, {})
        if step is None:
            return [kept[epoch] for epoch in sorted(kept)]
        return kept[max(kept) if step == -1 else step]

    def update_config(self, config: dict[str, Any]) -> None:
        """Nothing to do: the settings lie in the plans."""

    def log_summary(self, key: str, value: Any) -> None:
        """Keep a final figure as that of epoch 0."""
        self.log(key, value, 0)

    def get_checkpoint(self) -> dict[str, dict[int, Any]]:
        """What nnU-Net stores in a checkpoint."""
        return self.values

    def load_checkpoint(self, checkpoint: dict[str, dict[int, Any]]) -> None:
        """What nnU-Net found in a checkpoint."""
        self.values = checkpoint


class KonsilTrainer(nnUNetTrainer):  # type: ignore[misc]
    """One site's training, an epoch at a time or, by `run_training`, all epochs at once: the same arithmetic."""

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.konsil = plans["konsil"]
        settings = self.konsil["settings"]
        self.initial_lr = settings["learning_rate"]
        self.weight_decay = settings["weight_decay"]
        self.oversample_foreground_percent = settings["oversample_foreground"]
        self.num_iterations_per_epoch = settings["batches_per_epoch"]
        self.num_val_iterations_per_epoch = settings["validation_batches"] if self.konsil["validates"] else 0
        self.num_epochs = self.konsil["rounds"] * settings["local_epochs"]
        self.disable_checkpointing = True
        self.logger = Record()
        self.steps_done = 0
        self.after_batch: Callable[[int, float], None] | None = None  # who wants to hear of it: batches, loss

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """nnU-Net's step, and a word about it."""
        done: dict[str, Any] = super().train_step(batch)
        if self.after_batch is not None:
            self.after_batch(self.num_iterations_per_epoch, float(done["loss"]))
        return done

    def count_step(self, *_: Any) -> None:
        """Count a step of the optimizer; a gradient scaler skips those whose gradients overflowed."""
        self.steps_done += 1

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, Any]:
        """SGD with Nesterov momentum, and a learning rate that falls over the whole federation."""
        optimizer = torch.optim.SGD(
            self.network.parameters(),
            self.initial_lr,
            weight_decay=self.weight_decay,
            momentum=self.konsil["settings"]["momentum"],
            nesterov=self.konsil["settings"]["momentum"] > 0,
        )
        optimizer.register_step_post_hook(self.count_step)
        return optimizer, PolyLRScheduler(optimizer, self.initial_lr, self.num_epochs)

    def on_epoch_start(self) -> None:
        """Draw this epoch's random numbers, whatever was drawn before."""
        seed_epoch(self.konsil["seed"], self.current_epoch)
        super().on_epoch_start()

    def on_validation_epoch_end(self, val_outputs: list[dict[str, Any]]) -> None:
        """Figures of the validation batches, if there were any; a class that did not occur has no Dice."""
        if val_outputs:
            with np.errstate(invalid="ignore"):
                super().on_validation_epoch_end(val_outputs)

    def on_epoch_end(self) -> None:
        """Go on to the next epoch; nnU-Net would also draw a picture and write a checkpoint."""
        self.current_epoch += 1

    def plot_network_architecture(self) -> None:
        """No picture."""

    def _save_debug_information(self) -> None:
        """No debug.json: it holds the host's name."""

    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(  # noqa: N802  nnU-Net's spelling
        self,
    ) -> tuple[Any, Any, Any, Any]:
        """Without augmentation: patches of the final size and no mirroring, in prediction either."""
        rotation, dummy_2d, initial_patch, mirror = super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        if self.konsil["settings"]["augmentation"] == "default":
            return rotation, dummy_2d, initial_patch, mirror
        self.inference_allowed_mirroring_axes = None
        return rotation, dummy_2d, self.configuration_manager.patch_size, None

    def get_training_transforms(self, *args: Any, **kwargs: Any) -> Any:  # nnU-Net's is static; it calls it on self
        """nnU-Net's augmentation, or only what validation does to a patch."""
        if self.konsil["settings"]["augmentation"] == "default":
            return super().get_training_transforms(*args, **kwargs)
        return self.get_validation_transforms(
            args[2],
            is_cascaded=kwargs["is_cascaded"],
            foreground_labels=kwargs["foreground_labels"],
            regions=kwargs["regions"],
            ignore_label=kwargs["ignore_label"],
        )
