"""The same steps on images that nobody here made (`../shared/data`)."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest

from konsil.cohort.folder import CohortFolder, SiteFolder
from konsil.dicom.convert import checked_grid, convert, headers_of
from konsil.dicom.converter import converted
from konsil.dicom.deidentify import deidentify
from konsil.dicom.geometry import HEAD
from konsil.dicom.headers import read_inbox
from konsil.dicom.scan import read_scan, scan

pytestmark = pytest.mark.realdata


@pytest.fixture(scope="module")
def study(data: Path, tmp_path_factory: pytest.TempPathFactory) -> CohortFolder:
    """Study3 of the brain tumour progression collection, taken through all steps."""
    site = SiteFolder(tmp_path_factory.mktemp("home"))
    inbox = data / "dicom" / "tcia_btp" / "Study3"
    assert scan(site, "btp", inbox).exit_code == 0
    assert deidentify(site, "btp").exit_code == 0
    assert convert(site, "btp").exit_code == 0
    return site.cohort("btp")


def test_t1w_and_flair_before_contrast_are_proposed(study: CohortFolder) -> None:
    (case,) = read_scan(study)["cases"].values()
    folders = {role: {Path(name).parts[0] for name in one["files"]} for role, one in case["series"].items()}
    assert folders == {"T1w": {"26401-T1prereg-52906"}, "FLAIR": {"36468-FLAIRreg-58706"}}
    assert [len(one["files"]) for one in case["series"].values()] == [22, 22]


def test_both_are_said_to_be_derived(study: CohortFolder) -> None:
    (case,) = read_scan(study)["cases"].values()
    derived = [warning for warning in case["warnings"] if "is a derived image" in warning]
    assert [warning.split()[1] for warning in derived] == ["T1w", "FLAIR"]


def test_post_contrast_t2_and_crop_are_set_aside_with_reasons(study: CohortFolder) -> None:
    (case,) = read_scan(study)["cases"].values()
    reasons = {one["contrast"]: one["reason"] for one in case["others"]}
    assert set(reasons) == {"T1w post-contrast", "T2w", "not told"}
    assert "after a contrast agent" in reasons["T1w post-contrast"]
    assert "T2-weighted" in reasons["T2w"]
    assert "its contrast cannot be told" in reasons["not told"]


def identifying(folder: Path) -> set[str]:
    """Every value of the originals that names patient, visit or image."""
    names = "PatientName PatientID AccessionNumber StudyDate StudyInstanceUID SeriesInstanceUID SOPInstanceUID "
    names += "FrameOfReferenceUID StudyTime SeriesTime ContentTime PatientWeight SeriesDescription StudyDescription"
    values = set()
    for path in folder.rglob("*.dcm"):
        header = pydicom.dcmread(path, stop_before_pixels=True)
        values |= {str(header.get(name) or "").strip() for name in names.split()}
    values |= {part for value in values for part in value.split("^")}
    return {value for value in values if len(value) > 5}


def test_no_identifier_survives(study: CohortFolder, data: Path) -> None:
    values = identifying(data / "dicom" / "tcia_btp" / "Study3")
    assert {"Dumbledore", "PGBM-003", "20200121"} <= values
    home = study.site.home
    for path in (path for path in home.rglob("*") if path.is_file()):
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        assert {value for value in values if value.encode() in content} == set(), path.relative_to(home)


def test_the_images_are_what_the_converter_makes_of_the_originals(
    study: CohortFolder, data: Path, tmp_path: Path
) -> None:
    (case,) = study.cases()
    original = data / "dicom" / "tcia_btp" / "Study3" / "36468-FLAIRreg-58706"
    grid = checked_grid(headers_of(original, "FLAIR"), "FLAIR", HEAD)
    with converted(original, grid, "FLAIR", tmp_path) as volume:
        expected: Any = nib.load(volume.image)
        image: Any = nib.load(study.raw(case, "FLAIR"))
        np.testing.assert_array_equal(np.asarray(image.dataobj), np.asarray(expected.dataobj))
        np.testing.assert_allclose(image.affine, expected.affine, atol=1e-4)


def test_a_cut_rle_file_is_noticed(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data / "dicom" / "nasty_dicom2nifti" / "generic" / "compressed_rle" / "001", tmp_path / "inbox")
    file = next((tmp_path / "inbox").iterdir())
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[:-4000])
    assert list(read_inbox(tmp_path / "inbox").unreadable) == ["The file ends within its pixels."]
