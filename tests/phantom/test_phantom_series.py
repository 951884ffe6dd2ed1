"""DICOM from the phantom is what a scanner could have written: dcm2niix gives back the very voxels, in place."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import dcm2niix
import nibabel as nib
import numpy as np
import pydicom
import pytest

from konsil.dicom.seg import read_seg, referenced_series
from konsil.phantom.header import Visit
from konsil.phantom.identity import invent
from konsil.phantom.patient import Patient, make_patient
from konsil.phantom.profile import SITES
from konsil.phantom.stack import cut
from konsil.phantom.visit import write_visit
from konsil.phantom.volume import Volume

ONE_OF_EACH_SCANNER = {
    "ge-signa": ("A", 0),
    "philips-achieva": ("A", 1),
    "siemens-prisma": ("A", 3),
    "siemens-skyra": ("B", 0),
    "siemens-skyra-fit": ("C", 0),
}


def visit_of(patient: Patient, site: str) -> Visit:
    return Visit(invent(np.random.default_rng(0), 1), SITES[site], patient.profile, seed="test")


def converted(folder: Path, out: Path) -> tuple[nib.Nifti1Image, dict[str, object]]:
    command = [dcm2niix.bin, "-z", "n", "-b", "y", "-ba", "n", "-f", "image", "-o", str(out), str(folder)]
    out.mkdir()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert [p.name for p in out.glob("*.nii")] == ["image.nii"], done.stdout
    return nib.as_closest_canonical(nib.load(out / "image.nii")), json.loads((out / "image.json").read_text())


def test_every_scanner_is_tried() -> None:
    assert {s.name for site in SITES.values() for s in site.scanners} == set(ONE_OF_EACH_SCANNER)


@pytest.mark.parametrize("name", ONE_OF_EACH_SCANNER)
def test_dcm2niix_gives_back_the_very_voxels(name: str, tmp_path: Path) -> None:
    """Affine within 1e-3 mm (NIfTI holds float32), every voxel equal, and TR, TE, TI as the protocol says."""
    site, seed = ONE_OF_EACH_SCANNER[name]
    patient = make_patient(seed, site, resolution_mm=4.0)
    assert patient.profile.name == name
    write_visit(tmp_path / "inbox", visit_of(patient, site), patient)
    study = next((tmp_path / "inbox").glob("*/*"))
    for number, volume, sequence in (
        ("003", patient.t1w, patient.profile.t1w),
        ("004", patient.flair, patient.profile.flair),
    ):
        image, sidecar = converted(next(study.glob(f"{number}_*")), tmp_path / number)
        assert np.allclose(image.affine, volume.affine, atol=1e-3)
        assert np.array_equal(np.asarray(image.dataobj), volume.array)
        assert sidecar["RepetitionTime"] == pytest.approx(float(sequence.tags["RepetitionTime"]) / 1000)
        assert sidecar["EchoTime"] == pytest.approx(float(sequence.tags["EchoTime"]) / 1000)
        assert sidecar["InversionTime"] == pytest.approx(float(sequence.tags["InversionTime"]) / 1000)


@pytest.mark.parametrize("name", ONE_OF_EACH_SCANNER)
def test_the_drawing_lies_on_flair(name: str, tmp_path: Path) -> None:
    site, seed = ONE_OF_EACH_SCANNER[name]
    patient = make_patient(seed, site, resolution_mm=4.0)
    truth = write_visit(tmp_path, visit_of(patient, site), patient)
    (path,) = tmp_path.rglob("SEG*.dcm")
    mask, affine = read_seg(path, (patient.flair.array.shape, patient.flair.affine))
    assert np.array_equal(mask, patient.lesions)
    assert np.array_equal(affine, patient.flair.affine)
    assert referenced_series(path) == truth["series"]["FLAIR"]


def test_a_healthy_patient_has_no_drawing(tmp_path: Path) -> None:
    patient = make_patient(3, "B", resolution_mm=5.0, healthy=True)
    truth = write_visit(tmp_path, visit_of(patient, "B"), patient)
    assert truth["lesion_voxels"] == 0
    assert not list(tmp_path.rglob("SEG*"))


def test_a_localizer_is_three_crossing_slices(phantom: Patient, tmp_path: Path) -> None:
    truth = write_visit(tmp_path, visit_of(phantom, "A"), phantom, localizer=True)
    slices = [pydicom.dcmread(p) for p in next(tmp_path.glob("*/*/001_localizer")).iterdir()]
    normals = [np.cross(s.ImageOrientationPatient[:3], s.ImageOrientationPatient[3:]) for s in slices]
    assert {str(s.SeriesInstanceUID) for s in slices} == {truth["series"]["localizer"]}
    assert len(slices) == 3
    assert np.linalg.matrix_rank(np.array(normals, dtype=float), tol=0.1) == 3


def test_every_planted_identifier_is_in_the_files(phantom: Patient, tmp_path: Path) -> None:
    truth = write_visit(tmp_path, visit_of(phantom, "A"), phantom)
    path = next(tmp_path.glob("*/*/003_*/*"))
    content = path.read_bytes() + str(path).encode()
    for place, value in truth["identifiers"].items():
        assert value.encode() in content, place


@pytest.mark.parametrize("plane", ["sagittal", "axial", "coronal"])
def test_cutting_moves_no_voxel(plane: str) -> None:
    array = np.zeros((4, 5, 6), np.int16)
    array[1, 3, 2] = 7
    affine = np.array([[2.0, 0.1, 0, -9], [-0.1, 2.5, 0.2, 4], [0, -0.2, 3.0, 11], [0, 0, 0, 1]])
    stack = cut(Volume(array, affine), plane)
    (index,) = np.argwhere(stack.pixels == 7)
    world_lps = stack.affine @ [*index, 1]
    assert np.allclose(world_lps * [-1, -1, 1, 1], affine @ [1, 3, 2, 1])
    cosines = np.array(stack.cosines)
    assert np.dot(np.cross(cosines[:3], cosines[3:]), stack.affine[:3, 0]) > 0  # stacked along the normal
