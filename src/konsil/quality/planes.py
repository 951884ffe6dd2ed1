"""Cutting flat pictures out of volumes.

A plane lies along two array axes of a grid (its own or another image's) and has square pixels in millimetres, so that
thick slices and oblique scans are shown in true proportion, and two images cut by the same plane lie on each other
pixel by pixel. Pictures follow the radiologist's convention: seen from the feet, from the front, and from the patient's
left. The patient's right is at the left of axial and coronal pictures, and the nose points left in sagittal ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from konsil.cohort.volume import Volume

View = Literal["axial", "coronal", "sagittal"]

# (axis across the picture, axis down the picture, axis through it); every picture runs against its axes
AXES: dict[View, tuple[int, int, int]] = {"axial": (0, 1, 2), "coronal": (0, 2, 1), "sagittal": (1, 2, 0)}

Picture = npt.NDArray[np.floating[Any]]
Box = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Plane:
    """`corner`: centre of the upper left pixel, `across` and `down`: steps to the next (RAS mm); size in pixels."""

    corner: npt.NDArray[np.float64]
    across: npt.NDArray[np.float64]
    down: npt.NDArray[np.float64]
    width: int
    height: int


def bounding_box(mask: npt.NDArray[np.bool_], margin_voxels: npt.NDArray[np.float64]) -> Box:
    """Lowest and highest index of a mask along each axis, with a margin, within the array; the whole array if empty."""
    last = np.array(mask.shape, float) - 1
    if not mask.any():
        return np.zeros(3), last
    edges = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))[[0, -1]] for axis in range(3)]
    low, high = np.array(edges, float).T
    return np.maximum(low - margin_voxels, 0), np.minimum(high + margin_voxels, last)


def plane_at(grid: Volume, view: View, index: float, box: Box, pixel_mm: float) -> Plane:
    """The plane of `view` through voxel `index` of `grid`, showing the voxels of `box`."""
    horizontal, vertical, through = AXES[view]
    low, high = box
    start = np.empty(3)
    start[horizontal], start[vertical], start[through] = high[horizontal], high[vertical], index
    spacing = grid.spacing_mm
    axes = grid.affine[:3, :3] / spacing
    extent = (high - low) * spacing
    return Plane(
        corner=grid.affine[:3, :3] @ start + grid.affine[:3, 3],
        across=-axes[:, horizontal] * pixel_mm,
        down=-axes[:, vertical] * pixel_mm,
        width=max(8, int(extent[horizontal] / pixel_mm) + 1),
        height=max(8, int(extent[vertical] / pixel_mm) + 1),
    )


def cut(volume: Volume, plane: Plane, *, order: int = 1) -> Picture:
    """The values of `volume` on a plane, float32 (height, width), 0 outside; order 0 = nearest voxel, 1 = linear."""
    from scipy import ndimage

    inverse = np.linalg.inv(volume.affine)
    corner = inverse[:3, :3] @ plane.corner + inverse[:3, 3]
    down, across = inverse[:3, :3] @ plane.down, inverse[:3, :3] @ plane.across
    rows, columns = np.arange(plane.height), np.arange(plane.width)
    index = (corner[:, None] + np.outer(down, rows))[:, :, None] + np.outer(across, columns)[:, None, :]
    values = volume.data.view(np.uint8) if volume.data.dtype == np.bool_ else volume.data
    picture: Picture = ndimage.map_coordinates(values, index, order=order, output=np.float32)
    return picture


def tile(pictures: Sequence[Picture], columns: int, gap: int = 2) -> Picture:
    """Pictures side by side in rows of `columns`, each in the upper left of its cell, gaps and the rest 0."""
    height = max(picture.shape[0] for picture in pictures) + gap
    width = max(picture.shape[1] for picture in pictures) + gap
    rows = -(-len(pictures) // columns)
    sheet = np.zeros((rows * height - gap, min(columns, len(pictures)) * width - gap), np.float32)
    for number, picture in enumerate(pictures):
        top, left = number // columns * height, number % columns * width
        sheet[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return sheet


def spread(low: float, high: float, count: int) -> list[float]:
    """`count` voxel indices spread evenly over the inner nine tenths of a range."""
    return [float(round(value)) for value in np.linspace(low + 0.05 * (high - low), high - 0.05 * (high - low), count)]
