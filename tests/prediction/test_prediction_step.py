"""From a mask to what people use: segmentations for the archive, a table, a page. The model here draws perfectly."""

from __future__ import annotations

import csv
import shutil
import subprocess
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest

from konsil.cohort.cases import Case
from konsil.cohort.folder import CohortFolder, SiteFolder
from konsil.cohort.volume import Volume, write_volume
from konsil.dicom.convert import convert
from konsil.dicom.deidentify import deidentify
from konsil.dicom.scan import scan
from konsil.dicom.seg import read_seg
from konsil.errors import Missing
from konsil.files import read_json
from konsil.learners import masks
from konsil.learners.masks import Application, draw
from konsil.phantom.hospital import write_hospital
from konsil.prediction import page, step
from konsil.prediction.archive import segmentation
from konsil.prediction.location import CLASSES, classify, infratentorial
from konsil.quality.atlas import Placement
from konsil.quality.masks import mask as draw_brain
from konsil.registration.orient import orient
from konsil.registration.register import register


class Perfect:
    """A model that draws what a person drew, nothing where nobody drew; `sha256` is that of its weights."""

    channels, labels, sha256 = ["T1w", "FLAIR"], {"background": 0, "lesion": 1}, "ab" * 32

    def __init__(self, cohort: CohortFolder) -> None:
        self.cohort = cohort

    def segment(self, images: Any) -> Any:
        case = Case.parse(images["FLAIR"].name.split("_desc-")[0])
        image = nib.load(images["FLAIR"])
        drawn = self.cohort.lesions(case)
        mask = np.asarray(nib.load(drawn).dataobj) if drawn.is_file() else np.zeros(image.shape, np.uint8)
        return mask.T, {"spacing": list(image.header.get_zooms()[::-1]), "affine": image.affine}

    def write(self, target: Path, mask: Any, properties: Any) -> None:
        write_volume(target, Volume(np.ascontiguousarray(mask.T).astype(np.uint8), properties["affine"]))


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> CohortFolder:
    """Two prepared patients, one of them without lesions; the model has been applied."""
    folder = tmp_path_factory.mktemp("hospital")
    write_hospital(folder / "inbox", site="A", cases=2, seed=5, resolution_mm=3.0, faults={"no_lesions": 1},
                   truth=folder / "truth.json")  # fmt: skip
    site = SiteFolder(folder / "home")
    assert len(scan(site, "ms", folder / "inbox").done) == 2
    deidentify(site, "ms", inbox=folder / "inbox")
    cohort = site.cohort("ms")
    convert(site, "ms")
    for step_of in (orient, draw_brain, register):
        assert len(step_of(cohort).done) == 2
    return cohort


@pytest.fixture(scope="module")
def found(cohort: CohortFolder) -> tuple[Application, dict[bool, Case]]:
    """The application of the model, and the cases by whether they have lesions."""
    task = Application(cohort, Perfect(cohort), "perfect")
    patch = pytest.MonkeyPatch()
    patch.setattr(step, "open_application", lambda *_: task)
    try:
        assert step.predict(cohort, Path("nowhere")).exit_code == 0
    finally:
        patch.undo()
    return task, {cohort.lesions(case).is_file(): case for case in cohort.cases()}


def test_the_segmentation_is_the_mask_voxel_for_voxel_on_the_source_flair(found) -> None:
    """Read with pydicom alone: every set pixel, carried to the patient by its frame's own headers, is a mask voxel."""
    task, cases = found
    case = cases[True]
    seg = pydicom.dcmread(segmentation(task.cohort, case, "perfect"))
    mask = nib.load(task.mask(case))
    source = {
        str(one.SOPInstanceUID): one
        for one in (pydicom.dcmread(path) for path in (task.cohort.work / "dicom" / str(case) / "FLAIR").iterdir())
    }
    referred = seg.ReferencedSeriesSequence[0]
    assert {str(one.ReferencedSOPInstanceUID) for one in referred.ReferencedInstanceSequence} == set(source)
    assert {referred.SeriesInstanceUID} == {one.SeriesInstanceUID for one in source.values()}
    assert seg.SegmentationType == "BINARY"
    inverse, found_voxels = np.linalg.inv(mask.affine), set()
    for frame, group in zip(seg.pixel_array, seg.PerFrameFunctionalGroupsSequence, strict=True):
        slices = group.DerivationImageSequence[0].SourceImageSequence
        (named,) = {str(one.ReferencedSOPInstanceUID) for one in slices}
        image = source[named]
        assert np.allclose(group.PlanePositionSequence[0].ImagePositionPatient, image.ImagePositionPatient, atol=1e-3)
        across, down = np.reshape(np.array(image.ImageOrientationPatient, float), (2, 3))
        between_rows, between_columns = map(float, image.PixelSpacing)
        rows, columns = np.nonzero(frame)
        lps = np.array(image.ImagePositionPatient, float) + np.outer(columns * between_columns, across)
        lps += np.outer(rows * between_rows, down)
        index = (lps * [-1, -1, 1]) @ inverse[:3, :3].T + inverse[:3, 3]
        assert np.abs(index - np.rint(index)).max() < 0.01
        found_voxels |= {tuple(one) for one in np.rint(index).astype(int)}
    assert found_voxels == {tuple(one) for one in np.argwhere(np.asarray(mask.dataobj))}


def test_highdicom_reads_it_back(found) -> None:
    task, cases = found
    mask = nib.load(task.mask(cases[True]))
    read, _ = read_seg(segmentation(task.cohort, cases[True], "perfect"), (mask.shape, mask.affine))
    assert np.array_equal(read, np.asarray(mask.dataobj))


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (Debian: dicom3tools) is not installed")
def test_the_validator_finds_no_error(found) -> None:
    task, cases = found
    command = ["dciodvfy", str(segmentation(task.cohort, cases[True], "perfect"))]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (said.stdout + said.stderr).splitlines()
    assert any("Segmentation" in line for line in lines), lines
    assert not [line for line in lines if line.startswith("Error")], lines


def test_no_segmentation_without_lesions_and_the_page_says_so(found) -> None:
    task, cases = found
    healthy = cases[False]
    assert not segmentation(task.cohort, healthy, "perfect").exists()
    text = (task.cohort.reports / "lesions-perfect.html").read_text()
    assert "No lesion was found, so there is no segmentation." in text
    assert str(healthy) in text
    assert 'src="http' not in text


def test_the_tables_agree_with_the_mask(found) -> None:
    task, cases = found
    with task.table.with_suffix(".csv").open() as stream:
        rows = list(csv.DictReader(stream))
    mask = nib.load(task.mask(cases[True]))
    voxel_ml = abs(np.linalg.det(mask.affine)) / 1000
    assert {row["case"] for row in rows} == {str(cases[True])}
    total = sum(float(row["volume_ml"]) for row in rows)
    assert total == pytest.approx(np.asarray(mask.dataobj).sum() * voxel_ml, abs=1e-3)
    assert all(row["location"] in CLASSES for row in rows)
    table = read_json(task.table)
    assert table["located"][str(cases[False])]["segmentation"].startswith("No lesion")
    counted = table["located"][str(cases[True])]["by_location"]
    assert sum(counted.values()) == len(rows) == table["cases"][str(cases[True])]["lesion"]["count"]
    assert counted["periventricular"] > 0  # half of the planted ones, and the large ones
    assert "10.1016/S1474-4422(17)30470-2" in table["classes"]["definition"]


def test_a_second_run_measures_nothing_and_writes_the_same_page(found, monkeypatch: pytest.MonkeyPatch) -> None:
    task, _ = found
    path = task.cohort.reports / "lesions-perfect.html"
    before = path.read_bytes()
    monkeypatch.setattr(step, "open_application", lambda *_: task)
    monkeypatch.setattr(step, "find", lambda *_: pytest.fail("it was found already"))
    step.predict(task.cohort, Path("nowhere"))
    assert path.read_bytes() == before


def test_a_mask_drawn_anew_replaces_segmentation_and_findings(found, tmp_path: Path) -> None:
    task, cases = found
    case, other = cases[True], Application(task.cohort, Perfect(task.cohort), "other")
    draw(other)
    first = step.look_at(other, case)
    assert segmentation(task.cohort, case, "other").is_file()
    mask = step.read_label_map(other.mask(case))
    write_volume(other.mask(case), Volume(np.zeros_like(mask.data), mask.affine))
    kept = read_json(other.sidecar(case))
    del kept["Found"]  # as a sidecar that was written anew
    masks.write_json(other.sidecar(case), kept)
    again = step.look_at(other, case)
    assert (len(first.lesions) > 0, again.lesions) == (True, ())
    assert not segmentation(task.cohort, case, "other").exists()


def test_without_a_brain_mask_locations_are_not_told_and_the_page_says_why(found, monkeypatch) -> None:
    task, cases = found

    def absent(*_: Any) -> Any:
        raise Missing("the brain mask of FLAIR is not there")

    monkeypatch.setattr(step, "read_placement", absent)
    finding = step.find(task, cases[True])
    assert {one.location for one in finding.lesions} == {""}
    assert "no brain mask" in finding.remark
    assert page.by_location(finding.lesions) == {}


@pytest.mark.parametrize(
    ("mni", "is_below"),
    [
        ((0, -28, -30), True),  # pons
        ((2, -40, -50), True),  # medulla
        ((0, -58, -15), True),  # vermis
        ((30, -65, -40), True),  # cerebellar hemisphere
        ((38, -50, -20), False),  # fusiform gyrus
        ((10, -75, -4), False),  # lingual gyrus
        ((12, -98, -8), False),  # occipital pole
        ((22, -30, -16), False),  # parahippocampal gyrus
        ((45, 5, -35), False),  # temporal pole
        ((20, -20, 25), False),  # corona radiata
    ],
)
def test_known_places_of_the_atlas_lie_on_their_side_of_the_tentorium(mni: tuple[int, ...], is_below: bool) -> None:
    assert infratentorial(np.array([mni], float))[0] == is_below


def test_the_first_class_that_fits_counts() -> None:
    here = Placement(np.eye(4), 1.0)
    above, below = np.array([[20.0, -20.0, 25.0]]), np.array([[0.0, -28.0, -30.0]])
    assert classify(below, here, True, True) == "infratentorial"
    assert classify(above, here, True, True) == "periventricular"
    assert classify(above, here, False, True) == "juxtacortical"
    assert classify(above, here, False, False) == "deep white matter"
