"""Ghosts and smears: what a moving head leaves in the air beside it.

A scanner fills k-space line by line. If every second line differs (the head breathes, the amplifier is unbalanced) a
second head appears, shifted by half the field of view; if the head moves now and then, its signal smears into stripes.
Both run along the phase-encoding directions only, across the picture from edge to edge and no wider than the head.
Which axes those are is often not known once an image is a NIfTI file, so all three are measured. Axes are those of the
image's grid: x runs mostly from left to right, y from back to front, z from foot to head.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

FEWEST = 200  # air voxels on either side of a comparison


def ghost_to_signal(data: Floats, brain: Mask, air: Mask, axis: int) -> float | None:
    """Ghost-to-signal ratio along an axis (0, 1, 2): 0 = no ghost, 0.1 = a ghost of a tenth; less is better.

    (mean of the air where a ghost half a field of view away would lie - mean of the other air) / median of the brain;
    Giannelli et al., JACMP 2010, 11:3237; gsr_x and gsr_y of MRIQC, there for functional images. Here the background is
    `air` alone, since scalp and neck are no background. None where the ghost would hardly fall on air.
    """
    ghost = np.roll(brain, data.shape[axis] // 2, axis=axis)
    return excess(data, air & ghost, air & ~ghost, brain)


def streak(data: Floats, brain: Mask, air: Mask, axis: int) -> float | None:
    """How much brighter the air is in line with the brain along an axis than off every line; less is better; no unit.

    (mean of the air on lines along `axis` that cross the brain - mean of the air on no such line of any axis) / median
    of the brain; after the ghost detection of Gedamu et al., JMRI 2008, 28:308. 0.01 = smears as bright as a hundredth
    of the brain. None where on one side of the comparison hardly any air is left.
    """
    lines = [brain.any(axis=along, keepdims=True) for along in range(3)]
    return excess(data, air & lines[axis], air & ~(lines[0] | lines[1] | lines[2]), brain)


def excess(data: Floats, where: Mask, elsewhere: Mask, brain: Mask) -> float | None:
    """Difference of two regions' means over the median of the brain; None if a region is too small."""
    if not brain.any() or min(int(where.sum()), int(elsewhere.sum())) < FEWEST:
        return None
    signal = float(np.median(data[brain]))
    if signal <= 0:
        return None
    difference = data[where].mean(dtype=np.float64) - data[elsewhere].mean(dtype=np.float64)
    return float(difference / signal)
