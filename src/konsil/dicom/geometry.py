"""Whether the slices of a series are one volume.

A volume is a stack of equal slices: one orientation, positions on a straight line, one distance. DICOM gives each slice
the patient position of its first pixel and two direction cosines, in LPS mm (PS3.3 C.7.6.2.1.1: x to the left, y to
the back, z to the head). Converters are lenient: dcm2niix ends without an error on series that lack a slice or mix
orientations, so the rule is checked before it and its result is compared with it. `Grid` speaks RAS, as NIfTI does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from konsil.errors import BadInput

Float = npt.NDArray[np.float64]
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
COSINE_TOLERANCE = 1e-3
"""Difference of direction cosines within one orientation: 0.06 degrees, ten times what rounding in headers makes."""
SPACING_TOLERANCE = 0.1
"""Largest deviation of one slice distance from the median, as a share of it; a missing slice deviates by 1."""


@dataclass(frozen=True)
class Limits:
    """What a volume of a head has to measure. Extents are voxels times spacing along each axis, in mm."""

    slices: int = 10
    smallest_mm: float = 100.0
    largest_mm: float = 400.0


HEAD = Limits()
SMALLEST_PIXEL_MM, LARGEST_PIXEL_MM = 0.05, 20.0
"""No pixel of a head is finer or coarser; beyond that a header speaks of other units, or of nothing."""
FURTHEST_MM = 1e4
"""From the middle of the magnet; beyond, numbers lose the precision that a grid needs."""
LARGEST_SIDE = 1 << 13
"""Rows, columns or frames of one image. A header may announce 2 147 483 647 frames in ten bytes."""
LARGEST_VOXELS = 1 << 29
"""A head at 0.5 mm has a fifth of that; the converter holds them all in memory."""


class Repeated(BadInput):
    """Two slices of a series lie at one place: it holds more than one volume."""


@dataclass(frozen=True)
class Frame:
    """One slice: position of its first pixel, direction of rows and columns, pixel spacing (row, column), in LPS mm."""

    position: Float
    orientation: Float
    spacing_mm: tuple[float, float]
    size: tuple[int, int]

    @property
    def normal(self) -> Float:
        """Unit vector through the slice, by the right-hand rule."""
        return np.cross(self.orientation[:3], self.orientation[3:])


@dataclass(frozen=True)
class Grid:
    """A volume's voxels: shape (columns, rows, slices) and affine (4x4, voxel to RAS mm)."""

    shape: tuple[int, int, int]
    affine: Float

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size along the three axes."""
        size = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(size[0]), float(size[1]), float(size[2])

    @property
    def centre(self) -> Float:
        """The world point in the middle of the volume, RAS mm."""
        middle: Float = (self.affine @ [*((count - 1) / 2 for count in self.shape), 1])[:3]
        return middle

    @property
    def extent_mm(self) -> tuple[float, float, float]:
        """Size of the volume along the three axes."""
        x, y, z = (count * size for count, size in zip(self.shape, self.spacing_mm, strict=True))
        return x, y, z


def frames_of(headers: Iterable[Dataset]) -> list[Frame]:
    """The slices that a series consists of; raises `BadInput` if one has no place in space."""
    frames = []
    for header in headers:
        shared = group(header, "SharedFunctionalGroupsSequence")
        items = header.get("PerFrameFunctionalGroupsSequence") or [Dataset()]
        count = int(header.get("NumberOfFrames") or 1)
        if len(items) > count:
            raise BadInput("a multi-frame image describes more slices than it has", hint="Export the original images")
        if len(items) < count:
            frames.extend(stacked(header))
            continue
        frames.extend(frame_of([*macros(item), *macros(shared), header], header) for item in items)
    return frames


def group(header: Dataset, keyword: str) -> Dataset:
    """The first item of a sequence, or an empty data set."""
    items: list[Dataset] = header.get(keyword) or [Dataset()]
    return items[0]


def macros(item: Dataset) -> list[Dataset]:
    """The macro items in a functional group: plane position, plane orientation, pixel measures …"""
    return [element.value[0] for element in item if element.VR == "SQ" and element.value]


def frame_of(sources: Sequence[Dataset], header: Dataset) -> Frame:
    """One slice, each attribute taken from the first data set that has it."""

    def find(keyword: str) -> list[float]:
        for source in sources:
            if source.get(keyword) is not None:
                return [float(value) for value in source[keyword].value]
        raise BadInput(
            "an image has no place in space", expected=f"the attribute {keyword}", hint="Export the original images"
        )

    position, orientation, spacing = (
        find(name) for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
    )
    places = (len(position), len(orientation), len(spacing)) == (3, 6, 2)
    if not places or not np.abs(position).max() <= FURTHEST_MM or not np.abs(orientation).max() <= 1.01:
        raise BadInput("an image has a broken place in space", expected="3 coordinates, 6 cosines and 2 spacings")
    if not all(SMALLEST_PIXEL_MM <= value <= LARGEST_PIXEL_MM for value in spacing):
        raise BadInput(
            "the pixels of an image have no plausible size",
            expected=f"{SMALLEST_PIXEL_MM:g} to {LARGEST_PIXEL_MM:g} mm",
            got=f"{spacing[0]:g} x {spacing[1]:g} mm",
            hint="Export the original images",
        )
    size = (int(header.get("Rows") or 0), int(header.get("Columns") or 0))
    if not all(1 <= side <= LARGEST_SIDE for side in size):
        raise BadInput("an image has no plausible size", expected=f"1 to {LARGEST_SIDE} rows and columns")
    return Frame(np.array(position), np.array(orientation), (spacing[0], spacing[1]), size)


def stacked(header: Dataset) -> list[Frame]:
    """Frames of a multi-frame image with one position only: a stack along the normal, SpacingBetweenSlices apart."""
    first = frame_of([header], header)
    step, count = header.get("SpacingBetweenSlices") or header.get("SliceThickness"), int(header.NumberOfFrames)
    if not step or not abs(float(step)) <= FURTHEST_MM:
        raise BadInput("a multi-frame image does not say how far its slices lie apart")
    if count > LARGEST_SIDE:
        raise BadInput("a multi-frame image has more frames than a head", expected=f"at most {LARGEST_SIDE}")
    return [
        Frame(first.position + k * float(step) * first.normal, first.orientation, first.spacing_mm, first.size)
        for k in range(count)
    ]


def grid_of(frames: Sequence[Frame], limits: Limits = HEAD) -> Grid:
    """Check that `frames` are one volume of a head and return its grid, slices along the normal of the first.

    Raises `BadInput` with a sentence for: no slices, mixed sizes, orientations or spacings, two slices at one place, a
    missing slice, uneven distances, sheared slices, too few slices, an extent that no head has.
    """
    if not frames:
        raise BadInput("the series has no slices")
    check_alike(frames)
    normal = frames[0].normal
    ordered = sorted(frames, key=lambda frame: float(frame.position @ normal))
    step = check_distances(ordered, normal) if len(ordered) > 1 else frames[0].normal
    if len(ordered) < limits.slices:
        raise BadInput("the series has too few slices", expected=f"at least {limits.slices}", got=str(len(ordered)))
    grid = make_grid(ordered, step)
    check_extent(grid, limits)
    return grid


def reach_mm(frames: Sequence[Frame]) -> tuple[float, float, float]:
    """How far slices reach along columns, rows and normal, gaps included; zeros if they do not lie in one direction."""
    if not frames or any(
        np.abs(frame.orientation - frames[0].orientation).max() > COSINE_TOLERANCE for frame in frames
    ):
        return 0.0, 0.0, 0.0
    first = frames[0]
    along = np.ptp([frame.position @ first.normal for frame in frames])
    rows, columns = first.size
    return (
        columns * first.spacing_mm[1],
        rows * first.spacing_mm[0],
        float(along) * len(frames) / max(len(frames) - 1, 1),
    )


def check_alike(frames: Sequence[Frame]) -> None:
    """Raise `BadInput` unless all slices have one size, one orientation and one pixel spacing."""
    first = frames[0]
    if len({frame.size for frame in frames}) > 1:
        raise BadInput("the series mixes images of different sizes", expected="one number of rows and columns")
    off = max(float(np.abs(frame.orientation - first.orientation).max()) for frame in frames)
    if off > COSINE_TOLERANCE:
        raise BadInput(
            "the series mixes orientations",
            expected=f"direction cosines equal within {COSINE_TOLERANCE}",
            got=f"a difference of {off:.3g}",
            hint="It may be a localiser, or several stacks in one series",
        )
    if not np.allclose([frame.spacing_mm for frame in frames], first.spacing_mm, rtol=1e-3):
        raise BadInput("the series mixes pixel spacings", expected="one pixel spacing")
    if abs(float(np.linalg.norm(first.normal)) - 1) > 0.01:
        raise BadInput("the directions of rows and columns are not at right angles")


def check_distances(ordered: Sequence[Frame], normal: Float) -> Float:
    """Check positions along `normal`; return the step from one slice to the next as a vector in LPS mm."""
    positions = np.array([frame.position for frame in ordered])
    distances = np.diff(positions @ normal)
    middle = float(np.median(distances))
    if float(distances.min()) < 0.01 * max(middle, 0.01):
        raise Repeated(
            "two slices of the series lie at one place",
            expected="one image per place",
            hint="It may hold several volumes",
        )
    for k, distance in enumerate(distances):
        missing = round(float(distance) / middle) - 1
        if abs(float(distance) / middle - 1) > SPACING_TOLERANCE:
            what = f"{missing} missing after slice {k + 1}" if missing > 0 else f"{distance:.3g} mm after slice {k + 1}"
            raise BadInput(
                "a slice of the series is missing" if missing > 0 else "the slices of the series are not evenly spaced",
                expected=f"{len(ordered)} slices {middle:.3g} mm apart",
                got=what,
                hint="Send the series again",
            )
    step: Float = (positions[-1] - positions[0]) / (len(ordered) - 1)
    aside = positions - positions[0] - np.outer(np.arange(len(ordered)), step)
    tilt = float(np.linalg.norm(step - (step @ normal) * normal)) / middle
    if float(np.abs(aside).max()) > SPACING_TOLERANCE * middle or tilt > SPACING_TOLERANCE:
        raise BadInput(
            "the slices of the series are sheared against each other",
            expected="each slice straight above the one before",
            got=f"a stack that leans by {np.degrees(np.arctan(tilt)):.1f} degrees" if tilt > 0.01 else "shifted slices",
            hint="A tilted gantry does this; a head scanned so needs its original, unsheared images",
        )
    return step


def make_grid(ordered: Sequence[Frame], step: Float) -> Grid:
    """The affine of a stack: columns along the row direction, rows along the column direction, slices along `step`."""
    first = ordered[0]
    affine = np.eye(4)
    affine[:3, 0] = first.orientation[:3] * first.spacing_mm[1]
    affine[:3, 1] = first.orientation[3:] * first.spacing_mm[0]
    affine[:3, 2], affine[:3, 3] = step, first.position
    rows, columns = first.size
    return Grid((columns, rows, len(ordered)), LPS_TO_RAS @ affine)


def check_extent(grid: Grid, limits: Limits) -> None:
    """Raise `BadInput` unless each extent is that of a head with some air around it."""
    if math.prod(grid.shape) > LARGEST_VOXELS:
        raise BadInput("the series has more voxels than a head", expected=f"at most {LARGEST_VOXELS}")
    extent = grid.extent_mm
    if min(extent) < limits.smallest_mm or max(extent) > limits.largest_mm:
        raise BadInput(
            "the series does not cover a head",
            expected=f"{limits.smallest_mm:g} to {limits.largest_mm:g} mm along each axis",
            got=" x ".join(f"{value:.0f}" for value in extent) + " mm",
        )


def same_grid(first: Grid, shape: tuple[int, ...], affine: npt.NDArray[Any], tolerance_mm: float = 0.01) -> bool:
    """Whether an image has the same voxels, up to the order and direction of its axes."""
    mine, theirs = corner_set(first.shape, first.affine), corner_set(shape, affine)
    same_spacing = np.allclose(
        sorted(first.spacing_mm), sorted(np.linalg.norm(np.asarray(affine)[:3, :3], axis=0)), atol=tolerance_mm
    )
    gaps = np.linalg.norm(mine[:, None] - theirs[None], axis=2).min(axis=1)
    return sorted(first.shape) == sorted(shape) and bool(same_spacing) and float(gaps.max()) <= 10 * tolerance_mm


def corner_set(shape: Sequence[int], affine: npt.NDArray[Any]) -> Float:
    """World positions (8, 3) of the centres of the eight corner voxels."""
    corners = np.array(
        [[i, j, k, 1.0] for i in (0, shape[0] - 1) for j in (0, shape[1] - 1) for k in (0, shape[2] - 1)]
    )
    world: Float = (np.asarray(affine, dtype=np.float64) @ corners.T).T[:, :3]
    return world
