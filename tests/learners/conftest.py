"""Tiny cohorts that a tiny network can learn: noise with one bright ball, drawn on both channels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from konsil.cohort.adopt import Pair, adopt
from konsil.cohort.folder import SiteFolder
from konsil.cohort.frozen import FrozenCohort
from konsil.learners.protocol import Learner
from konsil.learners.registry import create

SPLITS = ("train", "train", "validation", "test")
DATA = {"name": "balls", "channels": ["T1w", "FLAIR"], "labels": {"background": 0, "lesion": 1}}
SETTINGS: dict[str, Any] = {
    "batches_per_epoch": 3,
    "validation_batches": 1,
    "learning_rate": 0.03,
    "momentum": 0.9,
    "augmentation": "none",
    "device": "cpu",
    "network": {"patch_size": [16, 16, 16], "features_per_stage": [4, 8, 16], "n_conv_per_stage": 1, "batch_size": 2},
}


def ball(rng: np.random.Generator, edge: int) -> tuple[dict[str, Any], Any]:
    """Two channels of shape (edge, edge, edge) and their mask; bright ball of radius 4 voxels on noise."""
    centre = rng.integers(6, edge - 6, size=3)
    distance = np.sqrt(sum((axis - c) ** 2 for axis, c in zip(np.indices((edge,) * 3), centre, strict=True)))
    mask = (distance < 4).astype(np.uint8)
    channels = {
        name: (100 * level + 10 * rng.normal(size=mask.shape) + 60 * mask).astype(np.float32)
        for name, level in (("T1w", 2.0), ("FLAIR", 1.0))
    }
    return channels, mask


@pytest.fixture
def make_cohort(tmp_path: Path) -> Callable[..., tuple[Path, FrozenCohort]]:
    """`make_cohort(site, splits=…, scale=…, empty=…)` → the site's home and frozen cohort; `empty`: nothing drawn."""

    def make(
        site: str,
        *,
        splits: tuple[str, ...] = SPLITS,
        scale: float = 1.0,
        edge: int = 20,
        seed: int = 0,
        subjects: str = "",
        empty: bool = False,
        voxel_mm: float = 1.0,
    ) -> tuple[Path, FrozenCohort]:
        rng = np.random.default_rng(seed)
        home, source, pairs = tmp_path / site, tmp_path / "source" / site, []
        source.mkdir(parents=True)
        for number, split in enumerate(splits):
            channels, mask = ball(rng, edge)
            files = {}
            for name, voxels in {**channels, "mask": mask * 0 if empty else mask}.items():
                files[name] = source / f"{number}_{name}.nii.gz"
                factor = 1 if name == "mask" else scale
                nib.save(
                    nib.Nifti1Image(voxels * factor if factor != 1 else voxels, np.diag([voxel_mm] * 3 + [1])),
                    files[name],
                )
            label = files.pop("mask")
            pairs.append(Pair(f"{subjects or site}{number}", files, label, split=split))
        root = SiteFolder(home).cohort("balls").path
        cohort = adopt(pairs, name="balls", channels=DATA["channels"], labels=DATA["labels"], root=root, seed=0)
        return home, cohort

    return make


@pytest.fixture
def make_learner() -> Callable[..., Learner]:
    """`make_learner(home, rounds=…, **settings)` → nnU-Net with the tiny settings."""

    def make(home: Path, *, rounds: int = 2, extra_rounds: int = 0, **changes: Any) -> Learner:
        asked: dict[str, Any] = {"rounds": rounds, "extra_rounds": extra_rounds, "seed": 7, "run": "tiny-run"}
        return create("nnunet", {**SETTINGS, **changes}, home=home, data=DATA, **asked)

    return make
