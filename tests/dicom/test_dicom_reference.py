"""Every folder of public DICOM gives the expected result (`../shared/data/dicom`).

Each folder has its line in FOLDERS: what the rules say it shows, and what becomes of it. A folder without a line, or a
line without a folder, fails. "truth": we give the voxels of an independent converter; "refused": with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from konsil.cohort.cases import Case
from konsil.cohort.folder import CohortFolder, SiteFolder
from konsil.dicom.contrast import FLAIR, T1W
from konsil.dicom.convert import checked_grid, convert_case, headers_of
from konsil.dicom.converter import run
from konsil.dicom.deidentify import SOURCES, copy_file
from konsil.dicom.geometry import HEAD, Limits
from konsil.dicom.headers import read_inbox
from konsil.dicom.pseudonyms import Pseudonyms
from konsil.dicom.rebuild import Copier
from konsil.dicom.scan import scan
from konsil.dicom.series import group
from konsil.errors import BadInput
from konsil.files import write_json

pytestmark = pytest.mark.realdata
CUT = Limits(slices=1, smallest_mm=0, largest_mm=1e9)
"""The difficult series were cut down to a few slices; everything else about them has to pass."""
CASE = Case("p", "1")


@dataclass(frozen=True)
class Folder:
    """What a folder holds, by its headers, and what becomes of it."""

    contrasts: set[str]
    fate: str
    reason: str = ""


TRUTH, REFUSED, SORTED = "truth", "refused", "sorted"
SYNTAXES = "nasty_dcm_qa_ts/In"
FOLDERS = {
    SYNTAXES: Folder({"mosaic"}, SORTED),
    "nasty_dicom2nifti/failing/slicecount/001": Folder(
        {"FLAIR"}, REFUSED, "too few slices; expected at least 10; got 2"
    ),
    "nasty_dicom2nifti/failing/sliceincrement/002": Folder(
        {"other"}, REFUSED, "a slice of the series is missing; expected 4 slices .* got 1 missing after slice"
    ),
    "nasty_dicom2nifti/failing/sliceorientation/001": Folder({"T2w"}, REFUSED, "mixes orientations"),
    "nasty_dicom2nifti/ge/anatomical/001": Folder({"T1w"}, TRUTH),
    "nasty_dicom2nifti/ge/anatomical/001_single_slice": Folder({"T1w"}, TRUTH),
    "nasty_dicom2nifti/generic/anatomical/001": Folder({"FLAIR"}, TRUTH),
    "nasty_dicom2nifti/generic/anatomical/002_non_isotropic": Folder({"T1w"}, TRUTH),
    "nasty_dicom2nifti/generic/compressed_rle/001": Folder({"FLAIR"}, TRUTH),
    "nasty_dicom2nifti/hitachi/anatomical/001": Folder({"PDw"}, TRUTH),
    "nasty_dicom2nifti/hyperfine/anatomical/001": Folder({"FLAIR"}, TRUTH),
    "tcia_btp/Study3/11-T1post-18670": Folder({"T1w post-contrast"}, SORTED),
    "tcia_btp/Study3/11_HCropVolume": Folder({"not told"}, REFUSED, "does not cover a head"),
    "tcia_btp/Study3/26401-T1prereg-52906": Folder({"T1w"}, SORTED),
    "tcia_btp/Study3/36468-FLAIRreg-58706": Folder({"FLAIR"}, SORTED),
    "tcia_btp/Study3/37830-T2reg-78532": Folder({"T2w"}, SORTED),
}


def with_fate(fate: str) -> list[str]:
    return [name for name, folder in FOLDERS.items() if folder.fate == fate]


def dicom_folders(root: Path) -> Iterator[str]:
    """Every folder that directly holds a DICOM file."""
    for folder in (root, *sorted(path for path in root.rglob("*") if path.is_dir())):
        for file in (path for path in folder.iterdir() if path.is_file()):
            with file.open("rb") as stream:
                if stream.read(132)[128:] == b"DICM":
                    yield folder.relative_to(root).as_posix()
                    break


def test_every_folder_has_an_expectation(data: Path) -> None:
    assert set(dicom_folders(data / "dicom")) == set(FOLDERS)


@pytest.mark.parametrize("name", FOLDERS)
def test_headers_tell_what_it_shows(data: Path, name: str) -> None:
    series = group(read_inbox(data / "dicom" / name).instances)
    assert {one.contrast.name for one in series} == FOLDERS[name].contrasts


def copies(source: Path, target: Path, names: list[str] | None = None) -> Path:
    """De-identified copies of a folder, as the step before the conversion leaves them."""
    target.mkdir(parents=True)
    copier = Copier(target.name, CASE, Pseudonyms(bytes(32)))
    for count, name in enumerate(names or sorted(file.name for file in source.iterdir())):
        copy_file(source, name, target / f"{count:04d}.dcm", copier)
    return target


@pytest.mark.parametrize("name", with_fate(REFUSED))
def test_what_is_no_volume_of_a_head_is_refused_with_its_reason(data: Path, name: str) -> None:
    with pytest.raises(BadInput, match=FOLDERS[name].reason):
        checked_grid(headers_of(data / "dicom" / name, T1W), T1W, HEAD)


@pytest.mark.parametrize("name", with_fate(REFUSED))
def test_what_is_no_volume_of_a_head_gives_no_case(data: Path, tmp_path: Path, name: str) -> None:
    """Taken through all steps it never becomes an image, and a sentence says why."""
    site = SiteFolder(tmp_path)
    outcome = scan(site, "ms", data / "dicom" / name)
    assert outcome.done == ()
    assert all("no usable T1w" in sentence for sentence in outcome.set_aside.values())
    assert site.cohort("ms").set_aside_cases()


def through_our_step(source: Path, tmp_path: Path) -> Any:
    """The raw image that the step makes of a folder, given as both T1w and FLAIR of one case."""
    cohort = SiteFolder(tmp_path / "home").cohort("ms")
    dicom = tmp_path / "dicom"
    for role in (T1W, FLAIR):
        copies(source, dicom / str(CASE) / role)
    write_json(dicom / str(CASE) / SOURCES, {T1W: "one", FLAIR: "other"})
    convert_case(cohort, CASE, dicom=dicom, limits=CUT)
    return nib.load(cohort.raw(CASE, T1W))


def canonical(image: Any) -> Any:
    """The image with its axes in RAS order, nothing resampled."""
    turn: Any = nib.as_closest_canonical  # nibabel gives it no types
    return turn(image)


@pytest.mark.parametrize("name", with_fate(TRUTH))
def test_our_step_gives_the_voxels_of_an_independent_converter(data: Path, tmp_path: Path, name: str) -> None:
    image = canonical(through_our_step(data / "dicom" / name, tmp_path))
    truth = canonical(nib.load(data / "dicom" / f"{name}_ground_truth.nii.gz"))
    # one of the series has rescale slopes, which NIfTI keeps as float32: 6e-8 of the value
    np.testing.assert_allclose(np.asarray(image.dataobj), np.asarray(truth.dataobj), rtol=1e-7)
    np.testing.assert_allclose(image.affine, truth.affine, atol=2e-3)


@pytest.fixture(scope="module")
def reference(data: Path) -> np.ndarray:
    """The volume in the mosaic, by an earlier dcm2niix."""
    image: Any = nib.load(data / "dicom" / "nasty_dcm_qa_ts" / "Ref" / "1.nii")
    return np.asarray(image.dataobj)


def unfolded(folder: Path, tmp_path: Path) -> np.ndarray:
    """What the converter makes of a folder with one mosaic."""
    with (tmp_path / "handle").open("w") as handle:
        assert run(folder, tmp_path, T1W, handle.fileno()).lost == ()
    image: Any = nib.load(tmp_path / "volume.nii")
    return np.asarray(image.dataobj)


@pytest.mark.parametrize("syntax", range(1, 10))
def test_nine_transfer_syntaxes_give_the_voxels_of_the_reference(
    data: Path, tmp_path: Path, reference: np.ndarray, syntax: int
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "1.dcm").symlink_to(data / "dicom" / SYNTAXES / f"{syntax}.dcm")
    np.testing.assert_array_equal(unfolded(tmp_path / "in", tmp_path), reference)


@pytest.mark.parametrize("syntax", range(1, 10))
def test_our_copies_keep_the_pixels_in_nine_transfer_syntaxes(
    data: Path, tmp_path: Path, reference: np.ndarray, syntax: int
) -> None:
    folder = copies(data / "dicom" / SYNTAXES, tmp_path / T1W, [f"{syntax}.dcm"])
    guessed = unfolded(folder, tmp_path)  # without private tags nobody knows that the last of 36 tiles is empty
    assert guessed.shape == (64, 64, 36)
    np.testing.assert_array_equal(guessed[:, :, :35], reference)
    assert not guessed[:, :, 35].any()


def test_mosaics_are_refused_in_words(data: Path, tmp_path: Path) -> None:
    cohort: CohortFolder = SiteFolder(tmp_path).cohort("ms")
    (sentence,) = scan(cohort.site, "ms", data / "dicom" / SYNTAXES).set_aside.values()
    assert "no usable T1w and no usable FLAIR on this day; there are: mosaic" in sentence
    folder = copies(data / "dicom" / SYNTAXES, tmp_path / T1W, ["1.dcm"])
    with pytest.raises(BadInput, match="T1w: its images are mosaics"):
        checked_grid(headers_of(folder, T1W), T1W, CUT)
