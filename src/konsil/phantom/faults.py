"""What goes wrong in hospitals, made on request.

Two artifacts come from the order in which a scanner fills k-space (the Fourier transform of the image) along the
phase-encoding axis j: lines taken after the head has moved disagree with the others (motion), and lines that
alternate in strength give a second, shifted head (ghosting, an N/2 ghost). The other faults are of geometry and of
filing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from scipy import ndimage as ndi

from konsil.errors import BadInput
from konsil.phantom.atlas import Mask
from konsil.phantom.fields import Floats, Matrix, random_rigid
from konsil.phantom.patient import Patient
from konsil.phantom.volume import Volume

FAULTS: Mapping[str, str] = {
    "motion": "the head moves while T1w and FLAIR are taken",
    "ghosting": "a second, shifted head lies over T1w and FLAIR",
    "cropped_head": "the top of the brain is not in the T1w",
    "wrong_voxel_size": "the slices of the T1w are 1.6 times too thick",
    "missing_slice": "one slice in the middle of the T1w is lost",
    "missing_flair": "there is no FLAIR",
    "mixed_patients": "a second patient's images lie in the same folder",
    "no_lesions": "the patient has no lesions (not a fault of the images: there is no segmentation)",
}
MOVES, MOVE_MM, MOVE_DEG = 4, 3.0, 4.0
QUIET_LINES = 0.08  # share of the lines around the middle of k-space during which the head lies still
GHOST = 0.30  # strength of the alternation
CROPPED = 0.25  # of the height of the brain
TOO_THICK = 1.6
LARGEST_STORED = 4095


def parse_faults(text: str) -> dict[str, int]:
    """Read "motion=1,missing_flair=2": how many patients get which fault."""
    wanted: dict[str, int] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, count = part.partition("=")
        if name not in FAULTS or not count.isdigit():
            raise BadInput("this fault is not known", expected=f"NAME=COUNT with one of {', '.join(FAULTS)}", got=part)
        wanted[name] = int(count)
    return wanted


def spoil(rng: np.random.Generator, patient: Patient, fault: str) -> Patient:
    """The patient's images with one of the faults of images; faults of filing leave them as they are."""
    if fault == "motion":
        return dataclasses.replace(patient, t1w=move(rng, patient.t1w), flair=move(rng, patient.flair))
    if fault == "ghosting":
        return dataclasses.replace(patient, t1w=ghost(patient.t1w), flair=ghost(patient.flair))
    if fault == "cropped_head":
        keep = top_of_crop(patient.brain_t1w)
        cropped = Volume(patient.t1w.array[:, :, :keep], patient.t1w.affine)
        return dataclasses.replace(patient, t1w=cropped, brain_t1w=patient.brain_t1w[:, :, :keep])
    if fault == "wrong_voxel_size":
        return thicken(patient, 0 if patient.profile.plane == "sagittal" else 2)
    return patient


def move(rng: np.random.Generator, volume: Volume) -> Volume:
    """Fill k-space in interleaved turns, the head lying elsewhere in each; the middle lines see it where it belongs.

    Every position has its opposite, so that on average the head is where the truth says.
    """
    image = volume.array.astype(np.float32)
    lines = np.fft.fft(image, axis=1)
    frequency = np.abs(np.fft.fftfreq(image.shape[1]))
    outer = np.flatnonzero(frequency > QUIET_LINES / 2)
    motions = [random_rigid(rng, shift_mm=MOVE_MM, turn_deg=MOVE_DEG) for _ in range(MOVES // 2)]
    positions = [*motions, *(np.asarray(np.linalg.inv(T), dtype=np.float64) for T in motions)]
    for turn, T in enumerate(positions):
        part = outer[turn :: len(positions)]
        lines[:, part] = np.fft.fft(displaced(image, volume, T), axis=1)[:, part]
    return stored(np.abs(np.fft.ifft(lines, axis=1)), volume)


def displaced(image: Floats, volume: Volume, T: Matrix) -> Floats:
    """The image after the rigid motion `T` (4x4, mm) about its centre."""
    centre = volume.affine @ np.append((np.array(image.shape) - 1) / 2, 1)
    to_centre = np.eye(4)
    to_centre[:3, 3] = centre[:3]
    M = np.linalg.inv(volume.affine) @ to_centre @ T @ np.linalg.inv(to_centre) @ volume.affine
    return np.asarray(ndi.affine_transform(image, M[:3, :3], M[:3, 3], order=1), dtype=np.float32)


def ghost(volume: Volume) -> Volume:
    """Make every second line of k-space stronger and the others weaker: adds the image shifted by half its width."""
    lines = np.fft.fft(volume.array.astype(np.float32), axis=1)
    lines[:, 0::2] *= 1 + GHOST
    lines[:, 1::2] *= 1 - GHOST
    return stored(np.abs(np.fft.ifft(lines, axis=1)), volume)


def stored(image: Floats, volume: Volume) -> Volume:
    """Round to what a scanner stores, 0 to 4095."""
    return Volume(np.clip(np.rint(image), 0, LARGEST_STORED).astype(np.int16), volume.affine)


def top_of_crop(brain: Mask) -> int:
    """How many axial slices remain when the top quarter of the brain is cut off."""
    inside = np.flatnonzero(brain.any(axis=(0, 1)))
    return int(np.rint(inside[-1] - CROPPED * (inside[-1] - inside[0]))) + 1


def thicken(patient: Patient, axis: int) -> Patient:
    """Average and sample the T1w along one axis so that its voxels are 1.6 times as long; borders aligned."""
    zoom = np.ones(3)
    zoom[axis] = 1 / TOO_THICK
    image = ndi.gaussian_filter1d(patient.t1w.array.astype(np.float32), 0.4 * TOO_THICK, axis=axis)
    coarse = ndi.zoom(image, zoom, order=1, grid_mode=True, mode="nearest")
    brain = ndi.zoom(patient.brain_t1w.astype(np.float32), zoom, order=1, grid_mode=True, mode="nearest") > 0.5
    factor = image.shape[axis] / coarse.shape[axis]  # what 1.6 becomes after rounding to whole slices
    affine = patient.t1w.affine.copy()
    affine[:3, 3] += affine[:3, axis] * (factor - 1) / 2
    affine[:3, axis] *= factor
    return dataclasses.replace(patient, t1w=stored(coarse, Volume(patient.t1w.array, affine)), brain_t1w=brain)
