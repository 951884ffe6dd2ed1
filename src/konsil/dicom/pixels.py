"""A look at the pixels of a series: is water dark or bright in it, and is it a copy of another one?

Headers are read for every file of an inbox, pixels only of the few series that a choice is about, and of those only as
many slices as the question needs. Pixels count as stored, without rescaling: signals of one image are compared with
each other. Where they cannot be decoded, the look has nothing to say.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from konsil.dicom.fluid import COARSE_MM, Fluid, fluid_in
from konsil.dicom.geometry import LPS_TO_RAS, Grid
from konsil.dicom.inbox import open_member
from konsil.dicom.reading import BROKEN, discreet, parse
from konsil.dicom.series import Series
from konsil.errors import KonsilError

Planes = npt.NDArray[np.float32]

WANTED = """
SOPClassUID Rows Columns SamplesPerPixel PhotometricInterpretation NumberOfFrames BitsAllocated BitsStored HighBit
PixelRepresentation PlanarConfiguration PixelData
"""
SIZES = ("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel")
MOST_SAMPLES = 1 << 27
"""Of a file, and of a volume: a compressed file can claim any size; a head at 0.5 mm has half as many."""


class Look:
    """Looks into the series of one inbox; remembers what it saw."""

    def __init__(self, inbox: Path) -> None:
        self.inbox = inbox
        self._seen: dict[str, Fluid] = {}

    def fluid(self, series: Series) -> Fluid:
        """Whether water is dark or bright in the series; "unclear" also if it is no volume or cannot be decoded."""
        first = series.files[0]
        if first not in self._seen:
            volume = sampled(self.inbox, series)
            self._seen[first] = fluid_in(*volume) if volume else "unclear"
        return self._seen[first]

    def same(self, one: Series, other: Series) -> bool:
        """The two series hold the same pictures: as many, and the same pixels in the first, middle and last."""
        if one.grid is None or other.grid is None or one.grid.shape != other.grid.shape:
            return False
        mine, yours = places_of(one, one.grid), places_of(other, other.grid)
        for k in sorted({0, len(mine) // 2, len(mine) - 1}):
            first, second = (pixels_of(self.inbox, path) for path, _ in (mine[k], yours[k]))
            if first is None or second is None or not np.array_equal(first, second):
                return False
        return True


def sampled(inbox: Path, series: Series) -> tuple[Planes, Grid] | None:
    """Every n-th slice of a series, about 4 mm apart: array (columns, rows, slices) and the grid it lies on.

    None if the series is not one volume or its pixels cannot be decoded.
    """
    grid = series.grid
    if grid is None or not np.isfinite(grid.affine).all() or math.prod(grid.shape) > MOST_SAMPLES:
        return None
    step = max(1, round(COARSE_MM / grid.spacing_mm[2]))
    files: dict[str, Planes | None] = {}
    slices = []
    for path, frame in places_of(series, grid)[::step]:
        if path not in files:
            files[path] = pixels_of(inbox, path)
        planes = files[path]
        if planes is None or frame >= len(planes) or planes.shape[1:] != (grid.shape[1], grid.shape[0]):
            return None
        slices.append(planes[frame].T)
    affine = grid.affine.copy()
    affine[:3, 2] *= step
    return np.stack(slices, axis=2), Grid((grid.shape[0], grid.shape[1], len(slices)), affine)


def places_of(series: Series, grid: Grid) -> list[tuple[str, int]]:
    """File and number of the frame for each slice of the grid, in its order."""
    owners = [(one.path, k) for one in series.instances for k in range(int(one.header.get("NumberOfFrames") or 1))]
    along = (LPS_TO_RAS @ grid.affine)[:3, 2]
    heights = [float(frame.position @ along) for frame in series.frames]
    return [owners[k] for k in sorted(range(len(heights)), key=heights.__getitem__)]


def pixels_of(inbox: Path, path: str) -> Planes | None:
    """The frames of one file (frames, rows, columns), as stored; None if they cannot be decoded."""
    try:
        with open_member(inbox, path) as stream, discreet():
            image = parse(stream, WANTED.split(), pixels=True)
            if math.prod(int(image.get(name) or 1) for name in SIZES) > MOST_SAMPLES:
                return None
            planes = np.asarray(image.pixel_array, dtype=np.float32)
    except (*BROKEN, RuntimeError, KonsilError):
        return None
    return planes[None] if planes.ndim == 2 else planes if planes.ndim == 3 else None
