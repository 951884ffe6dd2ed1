"""The viewer gets the images of one case, and NiiVue exactly as it was published."""

import hashlib
import re
from pathlib import Path

import pytest

from konsil.cohort.cases import Case
from konsil.cohort.folder import CohortFolder, SiteFolder
from konsil.files import write_bytes
from plugins.planes import HERE, SCRIPTS, case_images, script

CASE = Case("1", "1")


@pytest.fixture
def folder(tmp_path: Path) -> CohortFolder:
    folder = SiteFolder(tmp_path / "home").cohort("ms-1")
    for path in (folder.oriented(CASE, "FLAIR"), folder.registered(CASE), folder.lesions(CASE)):
        write_bytes(path, b"image")
    write_bytes(tmp_path / "elsewhere.nii.gz", b"secret")
    return folder


def test_the_images_that_are_there_are_named(folder: CohortFolder) -> None:
    found = case_images(folder.site.home, "ms-1", str(CASE))
    assert found["T1w"] == folder.registered(CASE)
    assert sorted(found) == ["FLAIR", "T1w", "lesions"]


@pytest.mark.parametrize("name", ["..", "../ms-1", "ms-1/..", "", "MS", "ms-2", "ms-1\0"])
def test_no_name_of_a_cohort_leads_out(folder: CohortFolder, name: str) -> None:
    assert case_images(folder.site.home, name, str(CASE)) == {}


@pytest.mark.parametrize("name", ["..", "sub-1_ses-2", "sub-../x_ses-1", "", "sub-1_ses-1/..", "sub-1_ses-1\n"])
def test_no_name_of_a_case_leads_out(folder: CohortFolder, name: str) -> None:
    assert case_images(folder.site.home, "ms-1", name) == {}


def test_a_link_out_of_the_cohort_is_not_followed(folder: CohortFolder, tmp_path: Path) -> None:
    folder.lesions(CASE).unlink()
    folder.lesions(CASE).symlink_to(tmp_path / "elsewhere.nii.gz")
    assert "lesions" not in case_images(folder.site.home, "ms-1", str(CASE))


def test_a_cohort_that_is_a_link_elsewhere_is_not_followed(folder: CohortFolder, tmp_path: Path) -> None:
    (folder.site.home / "cohorts" / "ms-2").symlink_to(tmp_path)
    other = tmp_path / "derivatives/konsil/sub-1/ses-1/anat/sub-1_ses-1_desc-oriented_FLAIR.nii.gz"
    write_bytes(other, b"image")
    assert case_images(folder.site.home, "ms-2", str(CASE)) == {}


def test_niivue_is_the_published_file_with_its_licence() -> None:
    notice = (HERE / "NOTICE").read_text()
    found = hashlib.sha256((HERE / SCRIPTS[0]).read_bytes()).hexdigest()
    assert found in notice
    assert "BSD 2-Clause License" in (HERE / "LICENSE.niivue").read_text()


def test_the_page_of_the_viewer_loads_its_own_scripts_only() -> None:
    page = (HERE / "viewer.html").read_text()
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert sources == [f"../{name}" for name in SCRIPTS]
    assert "http" not in page + (HERE / "viewer.js").read_text()
    assert script("NOTICE") is None
