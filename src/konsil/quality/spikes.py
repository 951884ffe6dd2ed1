"""Spikes: a spark in the scanner is one bright point of k-space, and in the image a pattern of stripes.

K-space is the Fourier transform of the image. What anatomy puts into it falls off smoothly from the middle, so a point
that stands far above its own neighbourhood, away from the middle, was no anatomy.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

INNER_K = 0.25  # share of the Nyquist radius that anatomy fills and the spike score ignores
AROUND = 5  # points: edge of the neighbourhood


def spike_score(data: npt.NDArray[np.generic]) -> float:
    """Brightest outlier of k-space outside its centre over its neighbourhood, natural logarithm; less is better.

    `data` is (X, Y, Z). Noise alone gives about 2 (the largest of a million Rayleigh values); a spike of n times the
    local level gives ln n.
    """
    from scipy import fft, ndimage

    waves = fft.rfftn(data.astype(np.float32))
    level = np.log(np.square(waves.real) + np.square(waves.imag) + np.float32(1e-12))
    level /= 2  # of the amplitude
    axes = [np.fft.fftfreq(size) * 2 for size in data.shape[:2]] + [np.fft.rfftfreq(data.shape[2]) * 2]
    squares = [np.square(axis.astype(np.float32)) for axis in axes]
    outside = sum(np.meshgrid(*squares, indexing="ij", sparse=True)) > INNER_K**2
    around = ndimage.uniform_filter(level, AROUND, mode="wrap")
    return float((level - around)[outside].max())
