"""Pictures inside a page: grey values to JPEG, outlines to transparent PNG, both as data addresses.

A page must open in a hospital without network and travel as one file, so every picture is written into it. The same
values give the same bytes.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from konsil.quality.planes import Picture

JPEG_QUALITY = 82
INSIDE = 0.5  # a mask's share of a pixel from which the pixel counts as inside


@dataclass(frozen=True)
class Window:
    """The values shown as black and as white."""

    black: float
    white: float


@dataclass(frozen=True)
class Shown:
    """One picture of a page: addresses of its layers, its size in pixels."""

    picture: str
    outline: str
    width: int
    height: int


def tissue_window(data: npt.NDArray[Any], brain: npt.NDArray[np.bool_]) -> Window:
    """Shows the brain from black to nearly white: 0 to 1.1 times the brain's 99.5th percentile."""
    values = data.T[brain.T] if brain.any() else data  # in the order of memory
    return Window(0.0, float(max(np.percentile(values, 99.5) * 1.1, 1e-6)))


def noise_window(data: npt.NDArray[Any], brain: npt.NDArray[np.bool_]) -> Window:
    """Shows the air, inverted as in MRIQC: no signal is white, a fifth of the brain's median and more is black."""
    values = data.T[brain.T] if brain.any() else data
    return Window(float(max(np.median(values) / 5, 1e-6)), 0.0)


def show(picture: Picture, window: Window, outlined: Picture | None = None, colour: str = "#ff7a2f") -> Shown:
    """A picture as layers: grey JPEG and, for a mask cut by the same planes, its outline as PNG."""
    height, width = picture.shape
    outline = "" if outlined is None else outline_address(outlined, colour)
    return Shown(grey_address(picture, window), outline, width, height)


def grey_address(picture: Picture, window: Window) -> str:
    """A JPEG of the picture as data address."""
    level = np.clip((picture - window.black) / (window.white - window.black), 0, 1) * 255
    return address(Image.fromarray(np.rint(level).astype(np.uint8)), "JPEG", quality=JPEG_QUALITY)


def outline_address(mask: Picture, colour: str) -> str:
    """A PNG of the outline of a mask, everything else transparent, as data address; empty if there is nothing."""
    inside = mask > INSIDE
    if not inside.any():
        return ""
    edge = inside & ~eroded(inside)
    image = Image.fromarray(edge.astype(np.uint8)).convert("P")
    rgb = [int(colour[start : start + 2], 16) for start in (1, 3, 5)]
    image.putpalette([0, 0, 0, *rgb])
    return address(image, "PNG", transparency=0, optimize=True, bits=1)


def eroded(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """A mask without the pixels that touch its outside by an edge."""
    padded = np.pad(mask, 1)
    inner: npt.NDArray[np.bool_] = mask & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return inner


def address(image: Image.Image, kind: str, **options: object) -> str:
    """An image file as `data:` address."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
