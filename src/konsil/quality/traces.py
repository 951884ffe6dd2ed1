"""Traces that artifacts leave in one image: what the artifact score reads beside the measures.

Each is a ratio or a share, so that scanners with other units, coils and fields of view can be compared, and each is
blind to most of what the others see. They have no limits of their own: alone, none tells mild trouble from a good
scan. Axes are those of an oriented image: i to the right, j to the front, k to the top. Which of them was
phase-encoded is not known, so every axis is looked at.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from konsil.cohort.volume import Volume
from konsil.quality.air import has_air
from konsil.quality.regions import Regions

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

FEWEST = 200  # voxels
OUTER_K = 0.25  # share of the Nyquist frequency from which a line of k-space is looked at
RIM_VOXELS = 2  # thickness of a face of the picture
DARK, BRIGHT = 0.35, 1.6  # shares of the median of parenchyma
COARSE_BAND, FINE_BAND = (0.02, 0.04), (0.075, 0.125)  # cycles per mm: lobes and skull; gyri and edges
SHADE_MM, FINE_MM = 20.0, 2.0  # scale of shading, and of edges (standard deviations)


def traces(image: Volume, regions: Regions) -> dict[str, float | None]:
    """All traces of an oriented T1w or FLAIR, by name; None where its region was not found or masked."""
    if int(regions.parenchyma.sum()) < FEWEST:
        return dict.fromkeys(NAMES)
    data = image.data.astype(np.float32)
    signal = float(np.median(data[regions.parenchyma]))
    if signal <= 0:
        return dict.fromkeys(NAMES)
    data /= signal
    air = regions.air if has_air(image.data, regions.air) else np.zeros_like(regions.air)
    power = np.square(np.abs(np.fft.fftn(data)))
    values = (
        line_jitter(power),
        detail(power, image.spacing_mm),
        shadow_ratio(data, regions.brain, air),
        face_signal(data, regions.brain),
        hole_ml(data, regions.matter, image.voxel_ml),
        float((data[regions.brain] > BRIGHT).mean()),
        shading(data, regions.parenchyma, image.spacing_mm),
        edge_strength(data, regions.brain, image.spacing_mm),
        air_level(data, air),
    )
    return dict(zip(NAMES, values, strict=True))


NAMES = (
    "line_jitter",
    "detail",
    "shadow_ratio",
    "face_signal",
    "hole_ml",
    "bright_share",
    "shading",
    "edge_strength",
    "air_level",
)
"""Keys of `traces`, in its order."""


def line_jitter(power: Floats) -> float:
    """How much the energy of k-space jumps from line to line, along the axis where it jumps most; ln, less is better.

    `power` is |k-space|^2 (X, Y, Z). E(k) is the energy of one plane of k-space across an axis; the trace is the median
    of |ln E(k-1) - 2 ln E(k) + ln E(k+1)| over the outer planes. Lines that were taken at another moment than their
    neighbours, with the head elsewhere or the receiver at another strength, carry another energy.
    """
    jumps = []
    for axis, size in enumerate(power.shape):
        count = size // 2 + 1
        energy = power.sum(axis=tuple(other for other in range(3) if other != axis))[:count]
        first = max(1, int(OUTER_K * count))
        steps = np.diff(np.log(energy[first:] + 1e-12), n=2)
        jumps.append(float(np.median(np.abs(steps))) if steps.size else 0.0)
    return max(jumps)


def detail(power: Floats, spacing_mm: npt.NDArray[np.float64]) -> float | None:
    """Energy of fine structure (8 to 13 mm) over that of coarse structure (25 to 50 mm); ln, low = out of focus.

    `power` is |k-space|^2 (X, Y, Z); means over shells of spatial frequency, less the noise, which is the median power
    of the outermost frequencies. None where nothing of the fine shell stands above the noise.
    """
    squares = [np.square(np.fft.fftfreq(n, size)) for n, size in zip(power.shape, spacing_mm, strict=True)]
    radius = np.sqrt(squares[0][:, None, None] + squares[1][None, :, None] + squares[2][None, None, :])
    floor = float(np.median(power[radius > 0.95 * radius.max()])) / np.log(2)
    means = [float(power[(radius >= low) & (radius < high)].mean()) - floor for low, high in (FINE_BAND, COARSE_BAND)]
    return float(np.log(means[0] / means[1])) if min(means) > 0 else None


def hole_ml(data: Floats, matter: Mask, voxel_ml: float) -> float:
    """Volume of the places in the brain's tissue that are dark and at least three voxels thick, mL; less is better."""
    from scipy import ndimage

    opened = ndimage.binary_opening(matter & (data < DARK), np.ones((3, 3, 3), bool))
    return float(opened.sum() * voxel_ml)


def shadow_ratio(data: Floats, brain: Mask, air: Mask) -> float | None:
    """Mean of the air in line with the brain along one axis over that along the other (i, j); 1 = even, less is better.

    Ghosts and the ripples of motion lie along the phase-encoding axis, noise lies everywhere.
    """
    means = []
    for axis in (0, 1):
        values = data[air & brain.any(axis=axis, keepdims=True)]
        if values.size < FEWEST:
            return None
        means.append(float(values.mean()))
    lowest = min(means)
    return max(means) / lowest if lowest > 0 else None


def face_signal(data: Floats, brain: Mask) -> float | None:
    """Brightest of the four side faces of the picture, at the height of the brain's upper half, in units of parenchyma.

    The head touches a side of the picture when the field of view is too small for it. The mean over the brightest
    twentieth of the face's voxels; less is better.
    """
    heights = np.flatnonzero(brain.any(axis=(0, 1)))
    if not heights.size:
        return None
    upper = data[:, :, int(heights.mean()) : int(heights[-1]) + 1]
    faces = [upper[:RIM_VOXELS], upper[-RIM_VOXELS:], upper[:, :RIM_VOXELS], upper[:, -RIM_VOXELS:]]
    return max(float(np.sort(face.ravel())[-max(1, face.size // 20) :].mean()) for face in faces)


def shading(data: Floats, parenchyma: Mask, spacing_mm: npt.NDArray[np.float64]) -> float:
    """Spread of the signal of parenchyma from place to place: 5th to 95th percentile of its means; less is better.

    Means are Gaussian with a standard deviation of 20 mm, over parenchyma alone (Knutsson and Westin, CVPR 1993).
    """
    from scipy import ndimage

    coarse = tuple(slice(None, None, max(1, round(4 / size))) for size in spacing_mm)
    weight = ndimage.uniform_filter(parenchyma.astype(np.float32), 3)[coarse]
    value = ndimage.uniform_filter(data * parenchyma, 3)[coarse]
    sd = [SHADE_MM / 2 / (size * max(1, round(4 / size))) for size in spacing_mm]
    weight, value = (ndimage.gaussian_filter(field, sd) for field in (weight, value))
    inside = parenchyma[coarse] & (weight > 0)
    if not inside.any():
        return 0.0
    low, high = np.percentile(value[inside] / weight[inside], [5, 95])
    return float(high - low)


def edge_strength(data: Floats, brain: Mask, spacing_mm: npt.NDArray[np.float64]) -> float:
    """Steepness of the edges in the brain: 95th percentile of the gradient over the spread of its signal; 1/mm.

    Gradient of a Gaussian with a standard deviation of 2 mm, which noise hardly passes; spread: 5th to 95th percentile.
    Low where the picture is out of focus.
    """
    from scipy import ndimage

    box = ndimage.find_objects(brain.astype(np.uint8))[0]
    inside, part = brain[box], data[box]
    slope = ndimage.gaussian_gradient_magnitude(part, FINE_MM / spacing_mm) / float(spacing_mm.mean())
    low, high = np.percentile(part[inside], [5, 95])
    return float(np.percentile(slope[inside], 95) / max(high - low, 1e-6))


def air_level(data: Floats, air: Mask) -> float | None:
    """Brightest hundredth of the air in units of parenchyma, less is better; None where there is too little air."""
    values = data[air]
    return float(np.percentile(values, 99)) if values.size >= FEWEST else None
