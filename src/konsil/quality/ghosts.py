"""Ghosts and smears: what a moving head leaves in the air beside it.

A scanner fills k-space line by line. If every second line differs (the head breathes, the amplifier is unbalanced) a
second head appears, shifted by half the field of view; if the head moves now and then, its signal smears into stripes.
Both run along the phase-encoding directions only, across the picture from edge to edge and no wider than the head.
Which axes those are is often not known once an image is a NIfTI file, so all three are measured. Axes are those of the
image's grid: x runs mostly from left to right, y from back to front, z from foot to head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Ratios = tuple[float | None, float | None, float | None]

FEWEST = 200  # air voxels on either side of a comparison


def ghosts(data: Floats, brain: Mask, air: Mask) -> Ratios:
    """Ghost-to-signal ratio along each axis (x, y, z): 0 = no ghost, 0.1 = a ghost of a tenth; less is better.

    (mean of the air where a ghost half a field of view away would lie - mean of the other air) / median of the brain;
    Giannelli et al., JACMP 2010, 11:3237; gsr_x and gsr_y of MRIQC, there for functional images. Here the background is
    `air` alone, since scalp and neck are no background. None where the ghost would hardly fall on air.
    """
    signal, lit = level(data, brain), np.where(air, data, 0)
    whole = Pile(int(air.sum()), float(lit.sum(dtype=np.float64)))
    found = []
    for axis, size in enumerate(data.shape):
        ghost = np.roll(brain, size // 2, axis=axis)
        hit = Pile(int(air[ghost].sum()), float(lit[ghost].sum(dtype=np.float64)))
        found.append(excess(hit, Pile(whole.count - hit.count, whole.total - hit.total), signal))
    return found[0], found[1], found[2]


def streaks(data: Floats, brain: Mask, air: Mask) -> Ratios:
    """How much brighter the air is in line with the brain along each axis than off every line; less is better; no unit.

    (mean of the air on lines along the axis that cross the brain - mean of the air on no such line of any axis) /
    median of the brain; after the ghost detection of Gedamu et al., JMRI 2008, 28:308. 0.01 = smears as bright as a
    hundredth of the brain. None where on one side of the comparison hardly any air is left.
    """
    signal, lit = level(data, brain), np.where(air, data, 0)
    lines = [brain.any(axis=axis, keepdims=True) for axis in range(3)]
    off = air & ~lines[0]
    off &= ~lines[1]
    off &= ~lines[2]
    rest = Pile(int(off.sum()), float(lit[off].sum(dtype=np.float64)))
    found = []
    for axis, line in enumerate(lines):
        counts, totals = (array.sum(axis=axis, keepdims=True, dtype=np.float64) for array in (air, lit))
        found.append(excess(Pile(int(counts[line].sum()), float(totals[line].sum())), rest, signal))
    return found[0], found[1], found[2]


@dataclass(frozen=True)
class Pile:
    """How many voxels, and the sum of their values."""

    count: int
    total: float


def level(data: Floats, brain: Mask) -> float:
    """Median of the brain; 0 without one."""
    return float(np.median(data[brain])) if brain.any() else 0.0


def excess(where: Pile, elsewhere: Pile, signal: float) -> float | None:
    """Difference of two regions' means over the median of the brain; None if a region is too small."""
    if min(where.count, elsewhere.count) < FEWEST or signal <= 0:
        return None
    return (where.total / where.count - elsewhere.total / elsewhere.count) / signal
