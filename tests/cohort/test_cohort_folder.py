"""Names in a site's folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from konsil.cohort.cases import Case
from konsil.cohort.folder import SiteFolder
from konsil.errors import BadInput
from konsil.files import write_bytes


def test_a_case_is_read_back_from_its_name() -> None:
    assert Case.parse(str(Case("7f3k", "20240131"))) == Case("7f3k", "20240131")


@pytest.mark.parametrize(
    "text", ["sub-a", "sub-a_ses-b_T1w", "sub-_ses-b", "sub-ä_ses-1", "sub-a_ses-b\n", "../sub-a_ses-b"]
)
def test_what_is_no_case_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        Case.parse(text)


def test_a_part_that_no_file_name_can_hold_is_refused_without_repeating_it() -> None:
    with pytest.raises(BadInput) as refused:
        Case("Doe^Jane", "1")
    assert "Doe" not in refused.value.sentence


@pytest.mark.parametrize("name", ["", "a", "A", "ms_2024", "../x", "ms 2024", "-ms", "ms\n", "x" * 42])
def test_an_unsafe_cohort_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="name of a cohort"):
        SiteFolder(tmp_path).cohort(name)


def test_paths_follow_bids(tmp_path: Path) -> None:
    cohort, case = SiteFolder(tmp_path).cohort("ms"), Case("X", "Y")
    base = tmp_path / "cohorts" / "ms"
    assert cohort.raw(case, "T1w") == base / "sub-X/ses-Y/anat/sub-X_ses-Y_T1w.nii.gz"
    derived = base / "derivatives/konsil/sub-X/ses-Y/anat"
    assert cohort.oriented(case, "FLAIR") == derived / "sub-X_ses-Y_desc-oriented_FLAIR.nii.gz"
    assert cohort.lesions(case) == derived / "sub-X_ses-Y_space-FLAIR_label-L_mask.nii.gz"
    assert cohort.report(case) == base / "derivatives/konsil/reports/sub-X_ses-Y.html"
    assert not base.exists(), "asking for a path makes no folder"


def test_cases_are_those_with_an_image_that_are_not_set_aside(tmp_path: Path) -> None:
    cohort = SiteFolder(tmp_path).cohort("ms")
    for subject in "cab":
        write_bytes(cohort.raw(Case(subject, "1"), "T1w"), b"")
    cohort.set_aside(Case("c", "1"), "convert", "A slice is missing.")
    assert [case.subject for case in cohort.cases()] == ["a", "b"]
    assert cohort.set_aside_cases()["sub-c_ses-1"].reason == "A slice is missing."
    cohort.take_back(Case("c", "1"))
    assert [case.subject for case in cohort.cases()] == ["a", "b", "c"]


def test_a_cohort_is_found_by_name_and_by_path(tmp_path: Path) -> None:
    site = SiteFolder(tmp_path)
    assert site.locate("ms").path == SiteFolder(Path("elsewhere")).locate(str(tmp_path / "cohorts" / "ms")).path
