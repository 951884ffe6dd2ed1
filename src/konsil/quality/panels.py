"""The pictures of one case. Which of them a page shows, in which order and under which words, is in `report.toml`.

Every figure is a function of the case's images and of its section, and gives the sheets it consists of, or None where
an image it needs is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from konsil.cohort.volume import Volume
from konsil.quality.pictures import Shown, Window, grey_address, noise_window, outline_address, show, tissue_window
from konsil.quality.planes import AXES, Box, Plane, View, bounding_box, cut, plane_at, spread, tile
from konsil.quality.sections import TABLES, Section, sections

MOSAIC_TILES, MOSAIC_COLUMNS, MOSAIC_PIXEL_MM = 18, 6, 1.0
CLOSE_TILES, CLOSE_PIXEL_MM = 4, 0.6
FLICKER_PIXEL_MM = 0.7
MASK_PIXEL_MM = 1.1
THUMB_PIXEL_MM = 1.6
MARGIN_MM = 8.0

LESION, BRAIN = "#ff7a2f", "#35c4f0"


@dataclass(frozen=True)
class CaseImages:
    """What a page shows of one case; None where a step has not run, or no lesion is drawn."""

    flair: Volume | None
    t1w: Volume | None
    registered: Volume | None
    lesions: Volume | None
    brain_flair: Volume | None
    brain_t1w: Volume | None

    def named(self, field: str) -> Volume | None:
        """The image that a section calls by this name; none for no name."""
        found: Volume | None = getattr(self, field) if field else None
        return found

    def brain_of(self, field: str) -> Volume | None:
        """The brain mask that lies on the grid of an image."""
        return self.brain_t1w if field == "t1w" else self.brain_flair

    @cached_property
    def windows(self) -> dict[str, Window]:
        """How to show the brain of each image that is there, by its name."""
        images = {name: self.named(name) for name in ("flair", "t1w", "registered")}
        return {
            name: tissue_window(image.data, inside(image, self.brain_of(name)))
            for name, image in images.items()
            if image is not None
        }


@dataclass(frozen=True)
class Panel:
    """One section with the sheets of its figure."""

    section: Section
    shown: tuple[Shown, ...]


Sheets = tuple[Shown, ...] | None


def make_panels(images: CaseImages) -> list[Panel]:
    """All panels that this case has images for, in the order of the page."""
    found = ((one, FIGURES[one.figure](images, one)) for one in sections() if one.figure not in TABLES)
    return [Panel(one, shown) for one, shown in found if shown]


def box_of(grid: Volume, brain: Volume | None, margin_mm: float = MARGIN_MM) -> Box:
    """The part of a grid that holds the brain, with a margin."""
    return bounding_box(inside(grid, brain), margin_mm / grid.spacing_mm)


def inside(grid: Volume, brain: Volume | None) -> npt.NDArray[np.bool_]:
    """The brain as boolean array, or nothing."""
    return np.zeros(grid.data.shape, bool) if brain is None else np.asarray(brain.data, dtype=bool)


def picture(
    volume: Volume, mask: Volume | None, planes: Sequence[Plane], columns: int, window: Any, colour: str
) -> Shown:
    """One sheet of planes with an optional outline."""
    grey = tile([cut(volume, plane) for plane in planes], columns)
    outlined = None if mask is None else tile([cut(mask, plane) for plane in planes], columns)
    return show(grey, window, outlined, colour)


def mosaic(images: CaseImages, section: Section) -> Sheets:
    """Axial slices over the whole brain with an outline."""
    volume, brain = images.named(section.image), images.brain_of(section.image)
    if volume is None:
        return None
    box = box_of(volume, brain)
    low, high = (float(edge[2]) for edge in box)
    planes = [
        plane_at(volume, "axial", index, box, MOSAIC_PIXEL_MM) for index in reversed(spread(low, high, MOSAIC_TILES))
    ]
    window = images.windows[section.image]
    return (picture(volume, images.named(section.outline), planes, MOSAIC_COLUMNS, window, LESION),)


def close_ups(images: CaseImages, section: Section) -> Sheets:
    """The axial slices with most lesion, enlarged: FLAIR above, T1w below."""
    if images.flair is None or images.lesions is None:
        return None
    grid = images.flair
    box = box_of(grid, images.brain_flair)
    planes = [
        plane_at(grid, "axial", index, box, CLOSE_PIXEL_MM) for index in fullest(images.lesions, grid.spacing_mm[2])
    ]
    sheets = []
    for name in ("flair", "registered"):
        volume = images.named(name)
        if volume is not None:
            sheets.append(picture(volume, images.lesions, planes, CLOSE_TILES, images.windows[name], LESION))
    return tuple(sheets)


def fullest(lesions: Volume, slice_mm: float) -> list[float]:
    """Up to CLOSE_TILES slices with most lesion, at least 10 mm apart, from top to bottom."""
    area = lesions.data.sum(axis=(0, 1)).astype(float)
    apart = max(1, round(10 / slice_mm))
    chosen: list[float] = []
    while len(chosen) < CLOSE_TILES and area.max() > 0:
        index = int(area.argmax())
        chosen.append(float(index))
        area[max(0, index - apart + 1) : index + apart] = 0
    return sorted(chosen, reverse=True)


def middle_planes(grid: Volume, box: Box, pixel_mm: float) -> list[Plane]:
    """One plane per view: through the middle, the sagittal one 8 mm beside the falx."""
    low, high = box
    views: tuple[View, ...] = ("axial", "coronal", "sagittal")
    planes = []
    for view in views:
        through = AXES[view][2]
        aside = 8.0 / grid.spacing_mm[0] if view == "sagittal" else 0.0
        planes.append(plane_at(grid, view, float(round((low[through] + high[through]) / 2 + aside)), box, pixel_mm))
    return planes


def flicker(images: CaseImages, section: Section) -> Sheets:
    """Three views of FLAIR, of the registered T1w, and of the T1w as the scanner placed it."""
    if images.flair is None or images.registered is None or images.t1w is None:
        return None
    box = box_of(images.flair, images.brain_flair, 22.0)
    planes = middle_planes(images.flair, box, FLICKER_PIXEL_MM)
    windows = [images.windows[name] for name in ("flair", "registered", "registered")]
    volumes = (images.flair, images.registered, images.t1w)
    return tuple(
        picture(volume, None, planes, 3, window, LESION) for volume, window in zip(volumes, windows, strict=True)
    )


def masked(images: CaseImages, section: Section) -> Sheets:
    """The whole field of view in three planes at two places, with the brain outlined."""
    volume, mask = images.named(section.image), images.named(section.outline)
    if volume is None:
        return None
    window = images.windows[section.image]
    return (picture(volume, mask, whole_planes(volume, mask, (0.3, 0.55)), 3, window, BRAIN),)


def air(images: CaseImages, section: Section) -> Sheets:
    """The whole field of view in three planes, inverted and windowed so that the air shows."""
    volume, brain = images.named(section.image), images.brain_of(section.image)
    if volume is None:
        return None
    window = noise_window(volume.data, inside(volume, brain))
    return (picture(volume, None, whole_planes(volume, brain, (0.5,)), 3, window, BRAIN),)


def whole_planes(volume: Volume, brain: Volume | None, shares: Sequence[float]) -> list[Plane]:
    """Axial, coronal and sagittal planes over the whole grid, through the brain at these shares of its extent."""
    low, high = box_of(volume, brain, 0.0)
    whole = (np.zeros(3), np.array(volume.data.shape, float) - 1)
    return [
        plane_at(
            volume, view, float(round(low[through] + share * (high[through] - low[through]))), whole, MASK_PIXEL_MM
        )
        for share in shares
        for view, (_, _, through) in AXES.items()
    ]


def thumbnail(images: CaseImages) -> Shown | None:
    """The slice with most lesion (or the middle one) of FLAIR, for the table of the cohort."""
    grid = images.flair or images.t1w
    if grid is None:
        return None
    brain = images.brain_flair if images.flair is not None else images.brain_t1w
    box = box_of(grid, brain, 4.0)
    lesions = images.lesions if images.flair is not None else None
    middle = float(round((box[0][2] + box[1][2]) / 2))
    index = fullest(lesions, grid.spacing_mm[2])[0] if lesions is not None else middle
    plane = plane_at(grid, "axial", index, box, THUMB_PIXEL_MM)
    window = images.windows["flair" if images.flair is not None else "t1w"]
    outline = outline_address(cut(lesions, plane), LESION) if lesions is not None else ""
    return Shown(grey_address(cut(grid, plane), window), outline, plane.width, plane.height)


FIGURES: dict[str, Callable[[CaseImages, Section], Sheets]] = {
    "mosaic": mosaic,
    "close_ups": close_ups,
    "air": air,
    "mask": masked,
    "flicker": flicker,
}
"""Figures by the name that `report.toml` gives them."""
