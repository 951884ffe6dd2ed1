"""What goes wrong in hospitals, made on request.

A fault is a name and a severity. Artifacts of the images are strongest where `severity` is large: 1, the default, is
what a reader sees at a glance at 1 to 2 mm; 0 is nothing. How each grows with it is said at the constants of `kspace`
(motion, ghosting, spike, aliasing) and `blemishes` (noise, blur, bias, void). The other faults are of geometry and of
filing, and have no severity.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from scipy import ndimage as ndi

from konsil.errors import BadInput
from konsil.phantom.atlas import Mask
from konsil.phantom.blemishes import blur, darken, pit, roughen
from konsil.phantom.kspace import fold, folded_lines, ghost, move, spike
from konsil.phantom.patient import Patient
from konsil.phantom.volume import LARGEST_STORED, Signal, Volume, record

Artifact = Callable[[np.random.Generator, Signal, float], Signal]

ARTIFACTS: Mapping[str, Artifact] = MappingProxyType(
    {
        "motion": move,
        "ghosting": ghost,
        "spike": spike,
        "aliasing": fold,
        "noise": roughen,
        "blur": blur,
        "bias": darken,
        "void": pit,
    }
)
"""What can be done to one image before its noise: `ARTIFACTS[name](rng, signal, severity)`."""

FAULTS: Mapping[str, str] = MappingProxyType(
    {
        "motion": "the head moves while T1w and FLAIR are taken",
        "ghosting": "a second, shifted head lies over T1w and FLAIR",
        "spike": "sparks in the scanner draw stripes over T1w and FLAIR",
        "aliasing": "the field of view is too small: the back of the head folds over the front, in T1w and FLAIR",
        "noise": "T1w and FLAIR are noisy",
        "blur": "T1w and FLAIR are out of focus",
        "bias": "T1w and FLAIR are bright on one side and dark on the other",
        "void": "metal beside the head tears a hole into T1w and FLAIR",
        "cropped_head": "the top of the brain is not in the T1w",
        "wrong_voxel_size": "the slices of the T1w are 1.6 times too thick",
        "missing_slice": "one slice in the middle of the T1w is lost",
        "missing_flair": "there is no FLAIR",
        "mixed_patients": "a second patient's images lie in the same folder",
        "swapped_patients": "the T1w is another patient's, filed under this one's name and number",
        "no_lesions": "the patient has no lesions (not a fault of the images: there is no segmentation)",
    }
)
MILDEST, STRONGEST = 0.01, 5.0  # severities that can be asked for
CROPPED = 0.25  # of the height of the brain
TOO_THICK = 1.6


@dataclasses.dataclass(frozen=True)
class Fault:
    """One fault; `severity` counts for artifacts only. Its text is `name` or `name@severity`."""

    name: str
    severity: float = 1.0

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Read `motion`, `motion@0.5`, or nothing at all. Raises `BadInput` for what is not known."""
        name, at, number = text.partition("@")
        try:
            fault = cls(name, float(number) if at else 1.0)
        except ValueError:
            fault = cls(name, np.nan)
        if name and name not in FAULTS:
            raise BadInput("this fault is not known", expected=f"one of {', '.join(FAULTS)}", got=text[:40])
        if at and (name not in ARTIFACTS or not MILDEST <= fault.severity <= STRONGEST):
            raise BadInput(
                "this severity of a fault is not known",
                expected=f"{MILDEST:g} to {STRONGEST:g}, for {', '.join(ARTIFACTS)}",
                got=text[:40],
            )
        return fault


def parse_faults(text: str) -> dict[str, int]:
    """Read "motion=1,ghosting@0.5=2": how many patients get which fault, by the fault's text."""
    wanted: dict[str, int] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, count = part.partition("=")
        if not name or Fault.parse(name).name not in FAULTS or not count.isdigit():
            raise BadInput("this fault is not known", expected=f"NAME=COUNT with one of {', '.join(FAULTS)}", got=part)
        wanted[name] = int(count)
    return wanted


def spoil(rng: np.random.Generator, patient: Patient, text: str) -> Patient:
    """The patient's images with one of the faults of images (`name` or `name@severity`).

    Faults of filing leave them as they are.
    """
    fault = Fault.parse(text)
    if fault.name in ARTIFACTS:
        return blemish(rng, patient, fault)
    if fault.name == "cropped_head":
        keep = top_of_crop(patient.brain_t1w)
        cropped = Volume(patient.t1w.array[:, :, :keep], patient.t1w.affine)
        return dataclasses.replace(patient, t1w=cropped, brain_t1w=patient.brain_t1w[:, :, :keep])
    if fault.name == "wrong_voxel_size":
        return thicken(patient, 0 if patient.profile.plane == "sagittal" else 2)
    return patient


def blemish(rng: np.random.Generator, patient: Patient, fault: Fault) -> Patient:
    """Plant one artifact in both signals and record them anew; what is known of the head is cut to the new picture."""
    make = ARTIFACTS[fault.name]
    t1w, flair = (make(rng, signal, fault.severity) for signal in (patient.t1w_signal, patient.flair_signal))
    ends = [
        folded_lines(signal, fault.severity) if fault.name == "aliasing" else 0
        for signal in (patient.t1w_signal, patient.flair_signal)
    ]
    in_t1w, in_flair = (slice(end, -end or None) for end in ends)
    return dataclasses.replace(
        patient,
        t1w=record(rng, t1w),
        flair=record(rng, flair),
        t1w_signal=t1w,
        flair_signal=flair,
        brain_t1w=patient.brain_t1w[:, in_t1w],
        brain_flair=patient.brain_flair[:, in_flair],
        lesions=patient.lesions[:, in_flair],
    )


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
    return dataclasses.replace(
        patient, t1w=Volume(np.clip(np.rint(coarse), 0, LARGEST_STORED).astype(np.int16), affine), brain_t1w=brain
    )
