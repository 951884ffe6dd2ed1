"""No identifier survives, everything that places the pixels does."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest

from konsil.cohort.cases import Case
from konsil.cohort.folder import CohortFolder, SiteFolder
from konsil.dicom.deidentify import deidentify
from konsil.dicom.keep import KEPT
from konsil.dicom.scan import read_scan, scan
from konsil.errors import Missing
from konsil.files import read_json, write_json

Writer = Callable[..., str]


@pytest.fixture
def scanned(tmp_path: Path, inbox: Path) -> CohortFolder:
    site = SiteFolder(tmp_path / "home")
    scan(site, "ms", inbox)
    return site.cohort("ms")


def copies(folder: CohortFolder, role: str) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(path) for path in sorted((folder.work / "dicom").glob(f"*/{role}/*.dcm"))]


def test_no_planted_identifier_is_in_any_copy(scanned: CohortFolder, planted: dict[str, str]) -> None:
    assert deidentify(scanned.site, "ms").exit_code == 0
    files = [path for path in (scanned.work / "dicom").rglob("*") if path.is_file()]
    assert len(files) == 2 * 18 + 1
    for path in files:
        content = path.read_bytes()
        assert [name for name, value in planted.items() if value.encode() in content] == []
        assert [name for name, value in planted.items() if value in str(path)] == []


def test_a_copy_says_that_it_is_one(scanned: CohortFolder) -> None:
    name = deidentify(scanned.site, "ms").done[0]
    copy = copies(scanned, "T1w")[0]
    assert copy.PatientID == copy.PatientName == name.split("_")[0].removeprefix("sub-")
    assert copy.StudyDate == name.split("_ses-")[1]
    assert copy.PatientIdentityRemoved == "YES"
    assert copy.LongitudinalTemporalInformationModified == "MODIFIED"
    assert [item.CodeValue for item in copy.DeidentificationMethodCodeSequence] == ["113100", "113105", "113107"]


def test_only_kept_attributes_and_the_marks_of_deidentification_remain(scanned: CohortFolder) -> None:
    deidentify(scanned.site, "ms")
    marks = {"PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence"}
    marks |= {"LongitudinalTemporalInformationModified", "PatientID", "PatientName"}
    for copy in copies(scanned, "FLAIR"):
        others = {element.keyword for element in copy} - KEPT - marks
        assert all(copy[keyword].is_empty for keyword in others)
        assert not any(element.tag.is_private for element in copy)


def test_pixels_and_geometry_are_those_of_the_original(scanned: CohortFolder, inbox: Path) -> None:
    deidentify(scanned.site, "ms")
    originals = {float(one.ImagePositionPatient[2]): one for one in map(pydicom.dcmread, inbox.rglob("a/IMG*"))}
    assert len(originals) == 18
    for copy in copies(scanned, "T1w"):
        original = originals[float(copy.ImagePositionPatient[2])]
        assert copy.PixelData == original.PixelData
        for keyword in ("ImageOrientationPatient", "PixelSpacing", "RepetitionTime", "InversionTime", "Manufacturer"):
            assert copy[keyword].value == original[keyword].value


def test_uids_change_consistently(scanned: CohortFolder, inbox: Path) -> None:
    deidentify(scanned.site, "ms")
    t1w, flair = copies(scanned, "T1w"), copies(scanned, "FLAIR")
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID"):
        assert len({one[keyword].value for one in t1w + flair}) == 1
        assert t1w[0][keyword].value.startswith("2.25.")
    assert len({one.SOPInstanceUID for one in t1w + flair}) == 36
    assert {one.file_meta.MediaStorageSOPInstanceUID for one in t1w} == {one.SOPInstanceUID for one in t1w}
    assert t1w[0].SOPClassUID == "1.2.840.10008.5.1.4.1.1.4"


def test_a_second_run_writes_nothing(scanned: CohortFolder) -> None:
    deidentify(scanned.site, "ms")
    before = {path: path.stat().st_mtime_ns for path in scanned.work.rglob("*.dcm")}
    assert deidentify(scanned.site, "ms").exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in scanned.work.rglob("*.dcm")} == before


def test_copies_made_under_older_rules_are_made_again(scanned: CohortFolder) -> None:
    deidentify(scanned.site, "ms")
    (noted,) = (scanned.work / "dicom").glob("*/sources.json")
    write_json(noted, {**read_json(noted), "rules": "1"})
    victim = next(scanned.work.rglob("FLAIR/*.dcm"))
    victim.write_bytes(b"from before")
    assert deidentify(scanned.site, "ms").exit_code == 0
    assert victim.read_bytes()[128:132] == b"DICM"


def test_a_run_that_was_killed_is_finished_by_the_next(scanned: CohortFolder) -> None:
    case = deidentify(scanned.site, "ms").done[0]
    whole = scanned.work / "dicom" / case
    shutil.rmtree(whole / "FLAIR")
    whole.rename(whole.with_name(f".part-{case}"))
    assert deidentify(scanned.site, "ms").exit_code == 0
    assert len(copies(scanned, "FLAIR")) == 18
    assert [path.name for path in (scanned.work / "dicom").iterdir()] == [case]


def test_a_series_that_changed_since_the_scan_sets_its_case_aside(
    scanned: CohortFolder, inbox: Path, series: Writer
) -> None:
    for number, kind in ((3, "T1w"), (4, "FLAIR")):
        series(inbox / "P2" / kind, kind, number=number, PatientID="P2")
    scan(scanned.site, "ms", inbox)
    series(inbox / "P2" / "T1w", "T1w", number=3, PatientID="P3")
    outcome = deidentify(scanned.site, "ms")
    assert outcome.exit_code == 2
    assert "the T1w has changed since the inbox was scanned" in next(iter(outcome.set_aside.values()))
    assert scan(scanned.site, "ms", inbox).exit_code == 2, "P2 has only a FLAIR now, P3 only a T1w"


def test_a_file_that_vanished_is_a_sentence_without_its_name(scanned: CohortFolder, inbox: Path) -> None:
    next(inbox.rglob("b/IMG004")).unlink()
    outcome = deidentify(scanned.site, "ms")
    assert outcome.exit_code == 1
    sentence = next(iter(outcome.set_aside.values()))
    assert "files of the FLAIR are no longer in the inbox" in sentence
    assert "IMG004" not in sentence


def test_a_batch_holds_only_its_cases(scanned: CohortFolder, inbox: Path, series: Writer) -> None:
    for number, kind in ((3, "T1w"), (4, "FLAIR")):
        series(inbox / "P2" / kind, kind, number=number, PatientID="P2")
    first, second = scan(scanned.site, "ms", inbox).done
    assert deidentify(scanned.site, "ms", [second]).done == (second,)
    assert [path.name for path in (scanned.work / "dicom").iterdir()] == [second]
    assert deidentify(scanned.site, "ms", [first]).done == (first,)


def test_what_a_later_step_refused_is_copied_again_and_stays_refused(scanned: CohortFolder) -> None:
    (name,) = read_scan(scanned)["cases"]
    scanned.set_aside(Case.parse(name), "convert", "It is bent.")
    assert deidentify(scanned.site, "ms", [name]).done == (name,)
    assert scanned.set_aside_cases()[name].step == "convert"


def test_what_scan_refused_keeps_its_sentence(scanned: CohortFolder, inbox: Path, series: Writer) -> None:
    series(inbox / "P2", "T1w", number=3, PatientID="P2")
    (refused,) = scan(scanned.site, "ms", inbox).set_aside
    outcome = deidentify(scanned.site, "ms", [refused])
    assert outcome.exit_code == 1
    assert "no usable FLAIR" in outcome.set_aside[refused]


def test_without_a_scan_the_step_is_named(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="konsil scan IN --cohort ms"):
        deidentify(SiteFolder(tmp_path), "ms")


def test_the_segmentation_still_points_at_its_flair(scanned: CohortFolder, inbox: Path) -> None:
    from konsil.dicom.seg import read_series, referenced_series, write_seg

    mask = np.zeros((18, 18, 18), np.uint8)
    mask[3, 4, 5] = 1
    affine = np.array([[-7.0, 0, 0, 70.5], [0, -7, 0, 60.25], [0, 0, 7, -80], [0, 0, 0, 1]])
    flair = read_series(inbox / "Plantagenet_W" / "b")
    write_seg(mask, affine, flair, inbox / "Plantagenet_W" / "c" / "drawing", creator="Kevin^Wilhelmina")
    scan(scanned.site, "ms", inbox)
    deidentify(scanned.site, "ms")
    drawing = next((scanned.work / "dicom").glob("*/SEG/*.dcm"))
    assert referenced_series(drawing) == copies(scanned, "FLAIR")[0].SeriesInstanceUID
    assert b"Wilhelmina" not in drawing.read_bytes()


def test_the_scale_of_philips_makes_the_values_of_the_originals(tmp_path: Path, series: Writer) -> None:
    from konsil.dicom.converter import converted
    from konsil.dicom.deidentify import copy_file
    from konsil.dicom.geometry import HEAD, frames_of, grid_of
    from konsil.dicom.pseudonyms import Pseudonyms
    from konsil.dicom.rebuild import Copier

    originals, copied = tmp_path / "originals", tmp_path / "copied"
    series(originals, Manufacturer="Philips Medical Systems", RescaleSlope=2.0, RescaleIntercept=0.0)
    copied.mkdir()
    copier = Copier("T1w", Case("p", "1"), Pseudonyms(bytes(32)))
    for file in sorted(originals.iterdir()):
        header = pydicom.dcmread(file)
        block = header.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
        block.add_new(0x0D, "FL", 0.0)
        block.add_new(0x0E, "FL", 0.25)
        header.save_as(file)
        copy_file(originals, file.name, copied / f"{file.name}.dcm", copier)
    grid = grid_of(frames_of(map(pydicom.dcmread, originals.iterdir())), HEAD)
    brightest = []
    for folder in (originals, copied):
        with converted(folder, grid, "T1w", tmp_path) as volume:
            brightest.append(float(nib.load(volume.image).get_fdata().max()))
    assert brightest[0] == brightest[1] == pytest.approx(4 * 4081), "1 / scale slope; by rescale slope it would be 2"
