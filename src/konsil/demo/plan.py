"""What the demo does: how many patients of which hospital, how large a network, how many rounds.

The sizes are for two cores and ten minutes. The network is a small U-Net (`network` in the charter's learner settings);
learning rate and momentum are ours for so few steps: nnU-Net's pair (0.01, 0.99) does not leave the background within
some hundred steps (docs/learners.md). A third of the patients is held out: the Dice of one or two would be chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from konsil.types import Json


@dataclass(frozen=True)
class Hospital:
    """One synthetic hospital: its phantom profile is its name. `fault` as in `konsil phantom --fault`."""

    site: str
    cases: int
    seed: int
    fault: str = ""


@dataclass(frozen=True)
class DemoPlan:
    """The sizes of one demo. `folder` holds everything it writes."""

    folder: Path
    hospitals: tuple[Hospital, ...] = (
        Hospital("A", 8, 11, "missing_flair=1"),
        Hospital("B", 7, 22),
        Hospital("C", 8, 33, "motion=1"),
    )
    resolution_mm: float = 2.0
    rounds: int = 12
    batches_per_round: int = 25
    validation_share: float = 0.15
    test_share: float = 0.4
    run: str = "demo"
    cohort: str = "ms-demo"
    inboxes: str = "inboxes"
    patience_s: float = 60.0

    @property
    def sites(self) -> list[str]:
        """Names of the sites, in the charter's order."""
        return [hospital.site for hospital in self.hospitals]

    @property
    def stack(self) -> Path:
        """Folder of the four Airflow instances and the S3 server."""
        return self.folder / "stack"

    def inbox(self, site: str) -> Path:
        """Where the DICOM of a site lies."""
        return self.folder / self.inboxes / site

    @property
    def form(self) -> Json:
        """What the operator fills in at *Run federation*: the charter."""
        network = {
            "patch_size": [32, 32, 32], "features_per_stage": [8, 16, 32], "n_conv_per_stage": 1, "batch_size": 2,
        }  # fmt: skip
        settings = {
            "network": network, "batches_per_epoch": self.batches_per_round, "validation_batches": 4,
            "learning_rate": 0.03, "momentum": 0.9, "augmentation": "none", "mirroring": False, "device": "cpu",
            "tile_size": [96, 96, 96], "dice_every": 0,
        }  # fmt: skip
        minutes = {f"{part}_s": 1800.0 for part in ("answer", "fingerprint", "prepare", "round", "baseline")}
        return {
            "run": self.run,
            "title": "MS lesions, three synthetic hospitals",
            "sites": self.sites,
            "rounds": self.rounds,
            "learner": {"name": "nnunet", "settings": settings},
            "data": {"name": "ms", "channels": ["T1wBrain", "FLAIRBrain"], "labels": {"background": 0, "lesion": 1}},
            "compare_with_local": True,
            "seed": 1,
            "deadlines": minutes | {"evaluation_s": 1800.0},
            "patience_s": self.patience_s,
        }
