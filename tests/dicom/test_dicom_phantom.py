"""A synthetic hospital, whose truth is known, through scan, de-identification and conversion."""

from __future__ import annotations

import gzip
import json
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from konsil.cohort.folder import CohortFolder, SiteFolder
from konsil.dicom.convert import convert
from konsil.dicom.deidentify import deidentify
from konsil.dicom.scan import read_scan, scan
from konsil.phantom.hospital import write_hospital
from konsil.types import Json


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[CohortFolder, Json]:
    """One folder of site A in which a second patient was filed, slice beside slice; and the truth about both."""
    folder = tmp_path_factory.mktemp("phantom")
    truth = folder / "truth.json"
    write_hospital(
        folder / "inbox",
        site="A",
        cases=1,
        seed=3,
        resolution_mm=4.0,
        faults={"mixed_patients": 1},
        truth=truth,
    )
    site = SiteFolder(folder / "home")
    for outcome in (scan(site, "pp", folder / "inbox"), deidentify(site, "pp"), convert(site, "pp")):
        assert outcome.exit_code == 0, dict(outcome.set_aside)
    return site.cohort("pp"), json.loads(truth.read_text())


def test_the_second_patient_in_the_folder_is_a_case_too(prepared: tuple[CohortFolder, Json]) -> None:
    cohort, truth = prepared
    assert len({case.subject for case in cohort.cases()}) == len(truth["patients"]) == 2
    assert all(case["warnings"] == [] for case in read_scan(cohort)["cases"].values())


def test_every_lesion_voxel_arrives_on_the_oriented_flair(prepared: tuple[CohortFolder, Json]) -> None:
    cohort, truth = prepared
    as_closest_canonical: Any = nib.as_closest_canonical
    voxels = []
    for case in cohort.cases():
        mask: Any = nib.load(cohort.lesions(case))
        flair = as_closest_canonical(nib.load(cohort.raw(case, "FLAIR")))
        assert mask.shape == flair.shape
        np.testing.assert_allclose(mask.affine, flair.affine, atol=1e-5)
        voxels.append(int(np.asarray(mask.dataobj).sum()))
    assert sorted(voxels) == sorted(patient["lesion_voxels"] for patient in truth["patients"])


def test_no_planted_identifier_is_found_outside_the_inbox(prepared: tuple[CohortFolder, Json]) -> None:
    cohort, truth = prepared
    planted = {str(value) for patient in truth["patients"] for value in patient["identifiers"].values()}
    planted |= {uid for patient in truth["patients"] for uid in patient["series"].values()}
    planted |= {part for value in planted for part in value.split("^")}
    planted = {value for value in planted if len(value) > 4}
    assert len(planted) > 20
    for path in cohort.site.home.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            content = gzip.decompress(content) if path.suffix == ".gz" else content
            assert [value for value in planted if value.encode() in content] == [], path.name
        assert not any(value in path.name for value in planted)
