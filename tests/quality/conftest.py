"""A small prepared cohort, made once: one patient of site B at 2 mm, and one with planted trouble."""

from __future__ import annotations

import numpy as np
import pytest

from konsil.cohort.cases import Case
from konsil.cohort.folder import CohortFolder, SiteFolder
from konsil.cohort.volume import Volume, read_volume, write_volume
from konsil.phantom.patient import Patient, make_patient
from konsil.quality.limits import load_limits
from konsil.quality.masks import mask
from konsil.quality.verdict import judge

GOOD, GHOSTED = Case("good", "1"), Case("ghosted", "1")


@pytest.fixture(scope="session")
def patient() -> Patient:
    return make_patient(3, "B", resolution_mm=2.0)


def ghosted(array: np.ndarray) -> np.ndarray:
    """A quarter of the image again, half a field of view away: an N/2 ghost, as from a moving head."""
    return (array + 0.25 * np.roll(array, array.shape[1] // 2, axis=1)).astype(np.int16)


def fill(folder: CohortFolder, case: Case, patient: Patient, *, ghost: bool) -> None:
    for suffix, image in (("T1w", patient.t1w), ("FLAIR", patient.flair)):
        array = ghosted(image.array) if ghost else image.array
        volume = Volume(array, image.affine)
        write_volume(folder.raw(case, suffix), volume)
        write_volume(folder.oriented(case, suffix), volume)
    write_volume(folder.lesions(case), Volume(patient.lesions, patient.flair.affine))
    # These tests are about pictures, not about registration: the T1w on FLAIR's grid stands in for the registered one.
    write_volume(folder.registered(case), read_volume(folder.oriented(case, "FLAIR"), "it"))


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, patient: Patient) -> CohortFolder:
    """Two cases with masks and verdicts, judged with the limits phantom-2mm."""
    folder = SiteFolder(tmp_path_factory.mktemp("site")).cohort("two")
    fill(folder, GOOD, patient, ghost=False)
    fill(folder, GHOSTED, patient, ghost=True)
    assert not mask(folder).set_aside
    assert not judge(folder, limits=load_limits("phantom-2mm")).set_aside
    return folder
