"""Conversion keeps every voxel where the scanner put it, or refuses with a reason."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pydicom import dcmread

from konsil.cohort.cases import Case
from konsil.cohort.folder import CohortFolder, SiteFolder
from konsil.dicom.convert import convert
from konsil.dicom.deidentify import deidentify
from konsil.dicom.scan import scan

Writer = Callable[..., str]
AFFINE = np.array([[7.0, 0, 0, 70.5 - 7 * 17], [0, 7, 0, 60.25 - 7 * 17], [0, 0, 7, -80], [0, 0, 0, 1]])
"""Closest canonical (RAS) of the hand-made series: first voxel at LPS (-70.5, -60.25, -80)."""


def prepare(tmp_path: Path, inbox: Path) -> CohortFolder:
    site = SiteFolder(tmp_path / "home")
    scan(site, "ms", inbox)
    deidentify(site, "ms")
    return site.cohort("ms")


def volume(number: int) -> np.ndarray:
    """The pixels of a hand-made series as a RAS volume."""
    lps = (np.arange(18**3, dtype=np.uint16).reshape(18, 18, 18) % 4079 + number).transpose(2, 1, 0)
    return lps[::-1, ::-1]


def test_every_voxel_keeps_its_value_and_place(tmp_path: Path, inbox: Path) -> None:
    cohort = prepare(tmp_path, inbox)
    assert convert(cohort.site, "ms").exit_code == 0
    (case,) = cohort.cases()
    for suffix, number in (("T1w", 3), ("FLAIR", 4)):
        image = nib.as_closest_canonical(nib.load(cohort.raw(case, suffix)))
        np.testing.assert_allclose(image.affine, AFFINE, atol=1e-4)
        np.testing.assert_array_equal(np.asarray(image.dataobj), volume(number))


def test_the_sidecar_holds_physics_and_no_identity(tmp_path: Path, inbox: Path, planted: dict[str, str]) -> None:
    cohort = prepare(tmp_path, inbox)
    convert(cohort.site, "ms")
    for path in cohort.path.rglob("*"):
        if path.is_file() and not path.name.endswith(".nii.gz"):
            assert [name for name, value in planted.items() if value in path.read_text()] == []
    sidecar = json.loads(next(cohort.path.glob("sub-*/ses-*/anat/*_T1w.json")).read_text())
    assert sidecar["RepetitionTime"] == 2.3
    assert sidecar["MRAcquisitionType"] == "3D"
    assert not [
        key for key in sidecar if "Date" in key or ("Time" in key and not key.endswith("nTime") and key != "EchoTime")
    ]
    assert (cohort.path / "dataset_description.json").is_file()


def test_a_second_run_converts_nothing(tmp_path: Path, inbox: Path) -> None:
    cohort = prepare(tmp_path, inbox)
    first = convert(cohort.site, "ms")
    before = {path: path.stat().st_mtime_ns for path in cohort.path.rglob("*.nii.gz")}
    assert convert(cohort.site, "ms") == first
    assert {path: path.stat().st_mtime_ns for path in cohort.path.rglob("*.nii.gz")} == before


def test_an_image_that_was_damaged_is_converted_again(tmp_path: Path, inbox: Path) -> None:
    cohort = prepare(tmp_path, inbox)
    convert(cohort.site, "ms")
    image = cohort.raw(cohort.cases()[0], "T1w")
    whole = image.read_bytes()
    image.write_bytes(whole[:1000])
    convert(cohort.site, "ms")
    np.testing.assert_array_equal(nib.load(image).shape, (18, 18, 18))


def test_a_missing_slice_sets_the_case_aside_and_the_others_go_on(tmp_path: Path, inbox: Path, series: Writer) -> None:
    series(inbox / "P2" / "a", "T1w", number=3, PatientID="P2", skip=(9,))
    series(inbox / "P2" / "b", "FLAIR", number=4, PatientID="P2")
    cohort = prepare(tmp_path, inbox)
    outcome = convert(cohort.site, "ms")
    assert outcome.exit_code == 2
    (name, sentence), *_ = outcome.set_aside.items()
    assert sentence.startswith("T1w: a slice of the series is missing; expected 17 slices 7 mm apart")
    assert len(cohort.cases()) == 1
    assert not cohort.raw(Case.parse(name), "T1w").exists()
    assert cohort.set_aside_cases()[name].step == "convert"


def changed(folder: Path, **changes: Callable[[int], object]) -> None:
    """Change attributes of every image of a hand-made series; the function gets the number of the slice."""
    for file in folder.iterdir():
        image = dcmread(file)
        for keyword, change in changes.items():
            setattr(image, keyword, change(int(image.InstanceNumber)))
        image.save_as(file)


def refusal(tmp_path: Path, inbox: Path) -> str:
    """Why the only case of the inbox does not convert."""
    cohort = prepare(tmp_path, inbox)
    (sentence,) = convert(cohort.site, "ms").set_aside.values()
    assert not list(cohort.path.rglob("*.nii.gz"))
    return sentence


EMPTY = np.zeros((18, 18), np.uint16).tobytes()
TWIN = np.arange(18 * 18, dtype=np.uint16).tobytes()
SPOILED: list[tuple[str, dict[str, Callable[[int], object]]]] = [
    ("T1w shows nothing; expected an image; got the same value in every voxel", {"PixelData": lambda k: EMPTY}),
    ("two slices of the T1w show the same picture; .* slices 1 and 2 are equal", {"PixelData": lambda k: TWIN}),
    (
        "sheared against each other; .* leans by 23.2 degrees. A tilted gantry",
        {"ImagePositionPatient": lambda k: [-70.5, -60 + 3 * k, 7 * k]},
    ),
    ("mixes pixel spacings", {"PixelSpacing": lambda k: [7, 7 if k < 9 else 6.5]}),
]


@pytest.mark.parametrize(("sentence", "changes"), SPOILED, ids=[sentence[:30] for sentence, _ in SPOILED])
def test_what_is_no_volume_is_refused_in_words(
    tmp_path: Path, inbox: Path, sentence: str, changes: dict[str, Callable[[int], object]]
) -> None:
    changed(inbox / "Plantagenet_W" / "a", **changes)
    assert re.search(sentence, refusal(tmp_path, inbox))


def test_slices_missing_at_an_end_are_a_warning_in_the_sidecar(tmp_path: Path, inbox: Path) -> None:
    changed(inbox / "Plantagenet_W" / "a", ImagesInAcquisition=lambda k: 20, InstanceNumber=lambda k: k + 2)
    cohort = prepare(tmp_path, inbox)
    convert(cohort.site, "ms")
    sidecar = json.loads(next(cohort.path.glob("sub-*/ses-*/anat/*_T1w.json")).read_text())
    warnings = sidecar["Konsil"]["Warnings"]
    assert "Its headers speak of 20 images, 18 are there." in warnings
    assert "Its 18 images are numbered from 3 to 20." in warnings


@pytest.mark.parametrize("form", ["SEG", "NIfTI"])
def test_lesions_land_on_the_voxels_they_were_drawn_on(tmp_path: Path, inbox: Path, form: str) -> None:
    drawn = np.zeros((18, 18, 18), np.uint8)
    drawn[3:5, 4, 5:8] = 1
    affine = np.diag([-1.0, -1, 1, 1]) @ np.array([[7.0, 0, 0, -70.5], [0, 7, 0, -60.25], [0, 0, 7, -80], [0, 0, 0, 1]])
    if form == "SEG":
        from konsil.dicom.seg import read_series, write_seg

        write_seg(drawn, affine, read_series(inbox / "Plantagenet_W" / "b"), inbox / "Plantagenet_W" / "c" / "s")
    else:
        turned = nib.as_closest_canonical(nib.Nifti1Image(drawn, affine))
        nib.save(turned, inbox / "Plantagenet_W" / "P_lesions.nii.gz")
    cohort = prepare(tmp_path, inbox)
    assert convert(cohort.site, "ms").exit_code == 0
    image = nib.load(cohort.lesions(cohort.cases()[0]))
    np.testing.assert_allclose(image.affine, AFFINE, atol=1e-4)
    np.testing.assert_array_equal(np.asarray(image.dataobj), drawn[::-1, ::-1])
    assert image.get_data_dtype() == np.uint8


def test_lesions_that_are_gone_from_the_inbox_go_from_the_cohort(tmp_path: Path, inbox: Path) -> None:
    drawing = inbox / "Plantagenet_W" / "P_lesions.nii.gz"
    mask = np.zeros((18, 18, 18), np.uint8)
    mask[1, 1, 1] = 1
    nib.save(nib.Nifti1Image(mask, AFFINE), drawing)
    cohort = prepare(tmp_path, inbox)
    convert(cohort.site, "ms")
    assert cohort.lesions(cohort.cases()[0]).is_file()
    drawing.unlink()
    prepare(tmp_path, inbox)
    convert(cohort.site, "ms")
    assert not cohort.lesions(cohort.cases()[0]).exists()
