"""Turning raw images so that their axes run right, front, up (RAS+, "closest canonical").

Scanners store slices in any order. Here axes are swapped and flipped, nothing is resampled: every voxel keeps its value
and its place in the patient, only its index changes. Steps after this may take for granted that the first array axis is
the one closest to left-right.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from konsil.cohort.batch import each_case
from konsil.cohort.cases import Case
from konsil.cohort.derivative import fingerprint, is_current, stamp
from konsil.cohort.folder import SUFFIXES, CohortFolder
from konsil.cohort.volume import Volume, read_volume, write_volume
from konsil.types import Outcome

STEP = "orient"


def orient(cohort: CohortFolder, cases: Sequence[str] | None = None, *, workers: int = 1) -> Outcome:
    """Write the oriented T1w and FLAIR of every case that has them; what is done for the same raw file is skipped."""
    return each_case(cohort, cases, STEP, orient_case, workers=workers)


def orient_case(cohort: CohortFolder, case: Case) -> None:
    """Orient what one case has. Raises `BadInput` for an image that cannot be used."""
    for suffix in SUFFIXES:
        raw, path = cohort.raw(case, suffix), cohort.oriented(case, suffix)
        if not raw.is_file():
            continue
        inputs = fingerprint({"raw": raw})
        if is_current(path, inputs):
            continue
        write_volume(path, closest_canonical(read_volume(raw, f"the raw {suffix}")))
        stamp(path, STEP, {"raw": raw}, inputs)


def closest_canonical(volume: Volume) -> Volume:
    """The same voxels with axes swapped and flipped to the RAS+ order closest to the grid (nibabel.orientations)."""
    from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation

    turn = io_orientation(volume.affine)
    data = np.asarray(apply_orientation(volume.data, turn))
    return Volume(data, volume.affine @ inv_ornt_aff(turn, volume.data.shape))
