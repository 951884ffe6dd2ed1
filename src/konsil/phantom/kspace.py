"""Artifacts that come from the order and the number of samples in k-space, the Fourier transform of the image.

A scanner fills k-space line by line along the phase-encoding axis, here j (back to front). Lines taken after the head
has moved disagree with the others (motion); lines that alternate in strength give a second head half a field of view
away (an N/2 ghost); a spark is one bright sample, in the image a pattern of stripes (spike); lines too far apart make
the field of view smaller than the head, and what lies outside appears on the other side (aliasing, fold-over).
Severity 1 is what the constants say; every effect grows in proportion.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi

from konsil.phantom.fields import Floats, Matrix, random_rigid
from konsil.phantom.volume import Signal

MOVES, MOVE_MM, MOVE_DEG = 4, 3.0, 4.0
QUIET_LINES = 0.08  # share of the lines around the middle of k-space during which the head lies still
GHOST = 0.30  # strength of the alternation
SPARKS, STRIPE = 2, 0.06  # amplitude of the stripes of each spark, as a share of the signal
SPARK_RADIUS = (0.15, 0.8)  # share of the Nyquist frequency along each axis
FOLDED = 0.25  # of the length of the head lies outside the field of view
HEAD_LEVEL = 0.3  # of the mean of the bright voxels: what counts as head


def changed(signal: Signal, image: npt.NDArray[np.floating[Any]]) -> Signal:
    """The same scan with another image."""
    return dataclasses.replace(signal, array=image.astype(np.float32))


def move(rng: np.random.Generator, signal: Signal, severity: float = 1.0) -> Signal:
    """Fill k-space in interleaved turns, the head lying elsewhere in each; the middle lines see it where it belongs.

    Each turn is drawn up to 3 mm and 4 degrees along and about every axis, times `severity`. Every position has its
    opposite, so that on average the head is where the truth says.
    """
    image = signal.array
    lines = np.fft.fft(image, axis=1)
    frequency = np.abs(np.fft.fftfreq(image.shape[1]))
    outer = np.flatnonzero(frequency > QUIET_LINES / 2)
    reach_mm, reach_deg = severity * MOVE_MM, severity * MOVE_DEG
    motions = [random_rigid(rng, shift_mm=reach_mm, turn_deg=reach_deg) for _ in range(MOVES // 2)]
    positions = [*motions, *(np.asarray(np.linalg.inv(T), dtype=np.float64) for T in motions)]
    for turn, T in enumerate(positions):
        part = outer[turn :: len(positions)]
        lines[:, part] = np.fft.fft(displaced(image, signal, T), axis=1)[:, part]
    return changed(signal, np.abs(np.fft.ifft(lines, axis=1)))


def displaced(image: Floats, signal: Signal, T: Matrix) -> Floats:
    """An image after the rigid motion `T` (4x4, mm) about its centre."""
    centre = signal.affine @ np.append((np.array(image.shape) - 1) / 2, 1)
    to_centre = np.eye(4)
    to_centre[:3, 3] = centre[:3]
    M = np.linalg.inv(signal.affine) @ to_centre @ T @ np.linalg.inv(to_centre) @ signal.affine
    return np.asarray(ndi.affine_transform(image, M[:3, :3], M[:3, 3], order=1), dtype=np.float32)


def ghost(rng: np.random.Generator, signal: Signal, severity: float = 1.0) -> Signal:
    """Make every second line stronger by 30 % times `severity` and the others weaker: adds the image, half its width
    away and as much weaker. Nothing is drawn from `rng`.
    """
    lines = np.fft.fft(signal.array, axis=1)
    lines[:, 0::2] *= 1 + severity * GHOST
    lines[:, 1::2] *= 1 - severity * GHOST
    return changed(signal, np.abs(np.fft.ifft(lines, axis=1)))


def spike(rng: np.random.Generator, signal: Signal, severity: float = 1.0) -> Signal:
    """Two sparks at random places of k-space: each adds stripes of 6 % of the tissue's signal times `severity`."""
    image = signal.array.copy()
    amplitude = severity * STRIPE * signal.tissue
    for _ in range(SPARKS):
        wave = rng.choice([-1.0, 1.0], 3) * rng.uniform(*SPARK_RADIUS, 3) * np.pi
        turns = [w * np.arange(size, dtype=np.float32) for w, size in zip(wave, image.shape, strict=True)]
        phase = turns[0][:, None, None] + turns[1][None, :, None] + turns[2][None, None, :]
        image += np.float32(amplitude) * np.cos(phase + np.float32(rng.uniform(0, 2 * np.pi)))
    return changed(signal, np.abs(image))


def folded_lines(signal: Signal, severity: float) -> int:
    """Lines cut off at either end of j when a quarter of the head's length, times `severity`, lies outside."""
    bright = signal.array > HEAD_LEVEL * signal.tissue
    along = np.flatnonzero(bright.mean(axis=(0, 2)) > 0.01)
    if not along.size:
        return 0
    before, after = int(along[0]), int(signal.array.shape[1] - 1 - along[-1])
    outside = min(0.8, severity * FOLDED) * (along[-1] - along[0] + 1)
    return int(min(np.rint((before + after + outside) / 2), signal.array.shape[1] // 3))


def fold(rng: np.random.Generator, signal: Signal, severity: float = 1.0) -> Signal:
    """Sample a smaller field of view along j: what lies beyond either end is added at the other. Draws nothing."""
    cut = folded_lines(signal, severity)
    if cut == 0:
        return signal
    image = signal.array
    inside = image[:, cut:-cut].copy()
    inside[:, -cut:] += image[:, :cut]
    inside[:, :cut] += image[:, -cut:]
    affine = signal.affine.copy()
    affine[:3, 3] += affine[:3, 1] * cut
    return dataclasses.replace(signal, array=inside, affine=affine)
