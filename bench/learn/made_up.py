"""Cases of noise with bright balls, as large as real ones, for benches whose seconds depend on sizes alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np

from konsil.cohort.adopt import Pair


def made_up(folder: Path, shape: tuple[int, ...]) -> Iterator[Pair]:
    """Four cases of two channels, (x, y, z) voxels of 1 mm: noise, zero outside an ellipsoid, and bright balls."""
    rng = np.random.default_rng(1)
    folder.mkdir(parents=True, exist_ok=True)
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    inside = sum(axis**2 for axis in axes) < 1
    for number, split in enumerate(("train", "train", "train", "validation")):
        balls = np.zeros(shape, bool)
        for centre in rng.uniform(-0.5, 0.5, (8, 3)):
            balls |= sum((axis - c) ** 2 for axis, c in zip(axes, centre, strict=True)) < 0.02
        files = {}
        for name in ("T1w", "FLAIR", "mask"):
            voxels = balls if name == "mask" else inside * (100 + 10 * rng.normal(size=shape) + 40 * balls)
            files[name] = folder / f"{number}_{name}.nii.gz"
            nib.save(nib.Nifti1Image(voxels.astype(np.uint8 if name == "mask" else np.float32), np.eye(4)), files[name])
        label = files.pop("mask")
        yield Pair(f"M{number}", files, label, split=split)
