"""The part of an image around the brain: what is not read at full resolution is not loaded there either."""

from __future__ import annotations

import numpy as np

from konsil.cohort.volume import Volume


def cropped(volume: Volume, around: Volume, margin_mm: float) -> Volume:
    """The part of `volume` that holds everything above 0.5 in `around`, and a margin; float32."""
    inside = np.argwhere(around.data > 0.5)
    corners = np.array(np.meshgrid(*zip(inside.min(0) - 0.5, inside.max(0) + 0.5, strict=True))).reshape(3, -1)
    points = around.affine[:3, :3] @ corners + around.affine[:3, 3:]
    inverse = np.linalg.inv(volume.affine)
    index = inverse[:3, :3] @ points + inverse[:3, 3:]
    margin = margin_mm / volume.spacing_mm
    low = np.clip(np.floor(index.min(1) - margin), 0, np.array(volume.data.shape) - 2).astype(int)
    high = np.clip(np.ceil(index.max(1) + margin) + 1, low + 2, volume.data.shape).astype(int)
    affine = volume.affine.copy()
    affine[:3, 3] += volume.affine[:3, :3] @ low
    part = volume.data[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    return Volume(np.ascontiguousarray(part, dtype=np.float32), affine)
