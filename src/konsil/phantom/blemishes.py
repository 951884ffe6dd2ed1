"""Blemishes that need no k-space: noise, blur, shading, and the hole that metal tears.

Severity 1 is what the constants say; every effect grows in proportion.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import ndimage as ndi

from konsil.phantom.fields import smooth_field
from konsil.phantom.kspace import HEAD_LEVEL, changed
from konsil.phantom.volume import Signal

NOISE = 0.10  # standard deviation in each receiver channel, as a share of the tissue's signal
BLUR_MM = 4.0  # full width at half maximum
SHADING = 0.35  # standard deviation of the logarithm of the added field
VOID_MM = 22.0  # radius of the hole
RIM, RIM_WIDTH = 0.8, 0.12  # extra signal that piles up at the rim, and how wide the rim is, as a share of the radius
DEEP = 0.8  # where the metal lies: share of the way from the middle of the head to its surface
FWHM_PER_SD = 2.355


def roughen(rng: np.random.Generator, signal: Signal, severity: float = 1.0) -> Signal:
    """Let the receiver be noisier by 10 % of the tissue's signal times `severity`. Draws nothing."""
    added = severity * NOISE * signal.tissue
    return dataclasses.replace(signal, noise=float(np.hypot(signal.noise, added)))


def blur(rng: np.random.Generator, signal: Signal, severity: float = 1.0) -> Signal:
    """Convolve with a Gaussian of 4 mm (full width at half maximum) times `severity`. Draws nothing."""
    sd = [severity * BLUR_MM / FWHM_PER_SD / size for size in signal.spacing_mm]
    return changed(signal, ndi.gaussian_filter(signal.array, sd))


def darken(rng: np.random.Generator, signal: Signal, severity: float = 1.0) -> Signal:
    """Multiply by exp(b), b a smooth field over half the picture with standard deviation 0.35 times `severity`."""
    shape = signal.array.shape
    field = np.exp(np.float32(severity * SHADING) * smooth_field(rng, shape, max(shape) / 2))
    return changed(signal, signal.array * field)


def pit(rng: np.random.Generator, signal: Signal, severity: float = 1.0) -> Signal:
    """Metal near the surface of the upper head: no signal within 22 mm times `severity`, and a bright rim around it."""
    radius_mm = severity * VOID_MM
    spacing = np.array(signal.spacing_mm, dtype=np.float32)
    place = metal(rng, signal)
    offsets = [
        (np.arange(n, dtype=np.float32) - c) * s for n, c, s in zip(signal.array.shape, place, spacing, strict=True)
    ]
    squares = np.square(offsets[0])[:, None, None] + np.square(offsets[1])[None, :, None] + np.square(offsets[2])
    r = np.sqrt(squares) / np.float32(radius_mm)
    left = 1 - np.exp(-(r**6)) + RIM * np.exp(-(((r - 1.15) / RIM_WIDTH) ** 2))
    return changed(signal, signal.array * left.astype(np.float32))


def metal(rng: np.random.Generator, signal: Signal) -> tuple[float, float, float]:
    """Voxel index of a place near the surface of the upper head, in a random direction from its middle."""
    head = ndi.binary_opening(signal.array > HEAD_LEVEL * signal.tissue)
    points = np.argwhere(head if head.any() else np.ones_like(head))
    upper = points[points[:, 2] >= points[:, 2].mean()]
    middle = upper.mean(axis=0)
    direction = rng.standard_normal(3) * [1, 1, 0.5]
    direction /= np.linalg.norm(direction)
    reach = (upper - middle) @ direction
    near = np.linalg.norm(upper - middle - reach[:, None] * direction, axis=1) < 3
    far = float(reach[near].max()) if near.any() else 0.0
    i, j, k = middle + DEEP * far * direction
    return float(i), float(j), float(k)
