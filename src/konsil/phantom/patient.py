"""A patient with every answer known: the images, the lesions, the brain, and how the head moved between the two scans.

World points are RAS mm in each image's own scanner frame. Between T1w and FLAIR the patient moved by the rigid
`t1w_to_flair`: a point of the head at x in the T1w scan lies at t1w_to_flair @ x in the FLAIR scan.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from konsil.errors import BadInput
from konsil.phantom.acquire import Grid, acquire, sample_mask
from konsil.phantom.anatomy import make_anatomy
from konsil.phantom.atlas import Mask, load_atlas
from konsil.phantom.fields import Matrix, random_rigid
from konsil.phantom.lesions import make_lesions
from konsil.phantom.profile import Profile, site_named
from konsil.phantom.volume import Signal, Volume, record

POSITION_SHIFT_MM, POSITION_TURN_DEG = 3.0, 2.0  # of the head in the FLAIR scan, from the middle of the scanner
MOTION_SHIFT_MM, MOTION_TURN_DEG = 4.0, 3.0  # of the head between the two scans


@dataclass(frozen=True)
class Patient:
    """T1w and FLAIR of one patient, with the truth about them."""

    t1w: Volume
    flair: Volume
    lesions: npt.NDArray[np.uint8]  # on the FLAIR grid: 1 = lesion
    brain_flair: Mask  # on the FLAIR grid
    brain_t1w: Mask  # on the T1w grid
    t1w_to_flair: Matrix  # 4x4, maps T1w world points to FLAIR world points, RAS mm
    profile: Profile
    t1w_signal: Signal  # before noise
    flair_signal: Signal

    @property
    def lesion_ml(self) -> float:
        """Total lesion volume in millilitres."""
        return float(self.lesions.sum() * np.prod(self.flair.spacing_mm) / 1000)


def scanner_of(seed: int, site: str) -> Profile:
    """The scanner on which `make_patient(seed, site)` is scanned."""
    scanners = site_named(site).scanners
    first = np.random.default_rng(np.random.SeedSequence((seed, *site.encode())).spawn(5)[0])
    return scanners[int(first.integers(len(scanners)))]


def make_patient(seed: int, site: str, *, resolution_mm: float = 2.0, healthy: bool = False) -> Patient:
    """Make the patient number `seed` of a site (A, B or C), scanned with voxels of about `resolution_mm`.

    The same arguments give the same voxels. The scanner is drawn from those of the site. `healthy` leaves the lesions
    out. Raises BadInput for an unknown site, a negative seed, or a resolution outside 0.8 to 6 mm.
    """
    hospital = site_named(site)
    if seed < 0:
        raise BadInput("this seed is not usable", expected="a whole number from 0", got=str(seed))
    chance = [np.random.default_rng(s) for s in np.random.SeedSequence((seed, *site.encode())).spawn(5)]
    profile = hospital.scanners[int(chance[0].integers(len(hospital.scanners)))]
    anatomy = make_anatomy(chance[1], load_atlas(resolution_mm), profile)
    lesions = np.zeros_like(anatomy.maps["wm"]) if healthy else make_lesions(chance[2], anatomy, hospital)
    anatomy.replace_by_lesions(lesions)
    in_flair = random_rigid(chance[0], shift_mm=POSITION_SHIFT_MM, turn_deg=POSITION_TURN_DEG)
    t1w_to_flair = random_rigid(chance[0], shift_mm=MOTION_SHIFT_MM, turn_deg=MOTION_TURN_DEG)
    in_t1w = in_flair @ t1w_to_flair
    t1w_signal = acquire(chance[3], anatomy, profile, "T1w", in_t1w)
    flair_signal = acquire(chance[4], anatomy, profile, "FLAIR", in_flair)
    t1w, flair = record(chance[3], t1w_signal), record(chance[4], flair_signal)
    flair_grid, t1w_grid = Grid(flair.array.shape, flair.affine), Grid(t1w.array.shape, t1w.affine)
    return Patient(
        t1w=t1w,
        flair=flair,
        lesions=sample_mask(lesions, anatomy, flair_grid, in_flair).astype(np.uint8),
        brain_flair=sample_mask(anatomy.maps["brain"], anatomy, flair_grid, in_flair),
        brain_t1w=sample_mask(anatomy.maps["brain"], anatomy, t1w_grid, in_t1w),
        t1w_to_flair=t1w_to_flair,
        profile=profile,
        t1w_signal=t1w_signal,
        flair_signal=flair_signal,
    )
