"""The pictures of one case, in the order in which a reviewer asks for them.

Is the lesion drawn where it shows? Does the T1w lie on the FLAIR? Was the brain found? What is in the air? Captions lie
in `panels.toml`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from konsil.cohort.volume import Volume
from konsil.quality.pictures import Shown, grey_address, noise_window, outline_address, show, tissue_window
from konsil.quality.planes import AXES, Box, Plane, View, bounding_box, cut, plane_at, spread, tile

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


@dataclass(frozen=True)
class Panel:
    """One figure: its key in panels.toml, title, caption, and what it shows."""

    key: str
    title: str
    caption: str
    kind: Literal["picture", "flicker"]
    shown: tuple[Shown, ...]


def captions() -> dict[str, dict[str, str]]:
    """Title and caption of every panel, by key."""
    return tomllib.loads(resources.files("konsil.quality").joinpath("panels.toml").read_text(encoding="utf-8"))


def make_panels(images: CaseImages) -> list[Panel]:
    """All panels that this case has images for, in the order of panels.toml."""
    shown: dict[str, tuple[Shown, ...] | None] = {
        "lesions": close_ups(images),
        "flair": mosaic(images.flair, images.brain_flair, images.lesions),
        "t1w": mosaic(images.registered, images.brain_flair, images.lesions),
        "flicker": flicker(images),
        "brain_flair": three_views(images.flair, images.brain_flair, outlined=True),
        "brain_t1w": three_views(images.t1w, images.brain_t1w, outlined=True),
        "air_flair": three_views(images.flair, images.brain_flair, outlined=False),
        "air_t1w": three_views(images.t1w, images.brain_t1w, outlined=False),
    }
    panels = []
    for key, text in captions().items():
        found = shown.get(key)
        if found:
            kind: Literal["picture", "flicker"] = "flicker" if key == "flicker" else "picture"
            panels.append(Panel(key, text["title"], text["caption"], kind, found))
    return panels


def box_of(grid: Volume, brain: Volume | None, margin_mm: float = MARGIN_MM) -> Box:
    """The part of a grid that holds the brain, with a margin."""
    mask = np.zeros(grid.data.shape, bool) if brain is None else brain.data > 0
    return bounding_box(mask, margin_mm / grid.spacing_mm)


def inside(grid: Volume, brain: Volume | None) -> npt.NDArray[np.bool_]:
    """The brain as boolean array, or nothing."""
    return np.zeros(grid.data.shape, bool) if brain is None else brain.data > 0


def picture(
    volume: Volume, mask: Volume | None, planes: Sequence[Plane], columns: int, window: Any, colour: str
) -> Shown:
    """One sheet of planes with an optional outline."""
    grey = tile([cut(volume, plane) for plane in planes], columns)
    outlined = None if mask is None else tile([cut(mask, plane) for plane in planes], columns)
    return show(grey, window, outlined, colour)


def mosaic(volume: Volume | None, brain: Volume | None, lesions: Volume | None) -> tuple[Shown, ...] | None:
    """Axial slices over the whole brain with the lesions outlined."""
    if volume is None:
        return None
    box = box_of(volume, brain)
    low, high = (float(edge[2]) for edge in box)
    planes = [
        plane_at(volume, "axial", index, box, MOSAIC_PIXEL_MM) for index in reversed(spread(low, high, MOSAIC_TILES))
    ]
    window = tissue_window(volume.data, inside(volume, brain))
    return (picture(volume, lesions, planes, MOSAIC_COLUMNS, window, LESION),)


def close_ups(images: CaseImages) -> tuple[Shown, ...] | None:
    """The axial slices with most lesion, enlarged: FLAIR above, T1w below."""
    if images.flair is None or images.lesions is None:
        return None
    grid = images.flair
    box = box_of(grid, images.brain_flair)
    planes = [
        plane_at(grid, "axial", index, box, CLOSE_PIXEL_MM) for index in fullest(images.lesions, grid.spacing_mm[2])
    ]
    sheets = []
    for volume in (images.flair, images.registered):
        if volume is not None:
            window = tissue_window(volume.data, inside(grid, images.brain_flair))
            sheets.append(picture(volume, images.lesions, planes, CLOSE_TILES, window, LESION))
    return tuple(sheets)


def fullest(lesions: Volume, slice_mm: float) -> list[float]:
    """Up to CLOSE_TILES slices with most lesion, at least 10 mm apart, from top to bottom."""
    area = (lesions.data > 0).sum(axis=(0, 1)).astype(float)
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


def flicker(images: CaseImages) -> tuple[Shown, ...] | None:
    """Three views of FLAIR, of the registered T1w, and of the T1w as the scanner placed it."""
    if images.flair is None or images.registered is None or images.t1w is None:
        return None
    box = box_of(images.flair, images.brain_flair, 22.0)
    planes = middle_planes(images.flair, box, FLICKER_PIXEL_MM)
    brain = inside(images.flair, images.brain_flair)
    windows = [
        tissue_window(images.flair.data, brain),
        tissue_window(images.registered.data, brain),
        tissue_window(images.registered.data, brain),
    ]
    volumes = (images.flair, images.registered, images.t1w)
    return tuple(
        picture(volume, None, planes, 3, window, LESION) for volume, window in zip(volumes, windows, strict=True)
    )


def three_views(volume: Volume | None, brain: Volume | None, *, outlined: bool) -> tuple[Shown, ...] | None:
    """The whole field of view in three planes: with the brain outlined, or windowed so that the air shows."""
    if volume is None:
        return None
    low, high = box_of(volume, brain, 0.0)
    whole = (np.zeros(3), np.array(volume.data.shape, float) - 1)
    planes = []
    for share in (0.3, 0.55) if outlined else (0.5,):
        for view, (_, _, through) in AXES.items():
            index = float(round(low[through] + share * (high[through] - low[through])))
            planes.append(plane_at(volume, view, index, whole, MASK_PIXEL_MM))
    window = (tissue_window if outlined else noise_window)(volume.data, inside(volume, brain))
    return (picture(volume, brain if outlined else None, planes, 3, window, BRAIN),)


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
    window = tissue_window(grid.data, inside(grid, brain))
    outline = outline_address(cut(lesions, plane), LESION) if lesions is not None else ""
    return Shown(grey_address(cut(grid, plane), window), outline, plane.width, plane.height)
