"""The part of an image around the brain: what is not read at full resolution is not loaded there either."""

from __future__ import annotations

import numpy as np

from konsil.cohort.box import box_of, carried, part
from konsil.cohort.volume import Volume


def cropped(volume: Volume, around: Volume, margin_mm: float) -> Volume:
    """The part of `volume` that holds everything above 0.5 in `around`, and a margin; float32."""
    to_index = np.linalg.inv(volume.affine) @ around.affine
    box = carried(box_of(around.data > 0.5), to_index, volume.data.shape, margin_mm / volume.spacing_mm)
    near = part(volume, box)
    return Volume(np.ascontiguousarray(near.data, dtype=np.float32), near.affine)
