"""Only whole reports at the two known places are shown, whatever name is asked for."""

from pathlib import Path

import pytest

from plugins.pages import federation_index, federation_page, quality_index, quality_page


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    reports = home / "cohorts" / "ms-1" / "derivatives" / "konsil" / "reports"
    reports.mkdir(parents=True)
    (reports / "cohort.html").write_text("cohort")
    (reports / "sub-1_ses-1.html").write_text("case")
    (home / "runs" / "run-1").mkdir(parents=True)
    (home / "runs" / "run-1" / "report.html").write_text("federation")
    (home / "keys").mkdir()
    (home / "keys" / "secret.html").write_text("secret")
    (tmp_path / "outside.html").write_text("secret")
    return home


def test_reports_are_found(home: Path) -> None:
    for page, path in (
        ("cohort", quality_page(home, "ms-1", "cohort")),
        ("case", quality_page(home, "ms-1", "sub-1_ses-1")),
        ("federation", federation_page(home, "run-1")),
    ):
        assert path is not None
        assert path.read_text() == page


@pytest.mark.parametrize("name", ["..", "../..", "ms-1/..", "/etc", "", ".", "ms-1\0", "../keys/secret", "nobody"])
def test_no_name_leads_out(home: Path, name: str) -> None:
    assert quality_page(home, name, "cohort") is None
    assert quality_page(home, "ms-1", name) is None
    assert federation_page(home, name) is None


def test_a_link_out_of_the_folder_is_not_followed(home: Path) -> None:
    reports = home / "cohorts" / "ms-1" / "derivatives" / "konsil" / "reports"
    (reports / "leak.html").symlink_to(home.parent / "outside.html")
    assert quality_page(home, "ms-1", "leak") is None


def test_the_lists_link_relatively_and_escape(home: Path) -> None:
    reports = home / "cohorts" / "<img src=x>" / "derivatives" / "konsil" / "reports"
    reports.mkdir(parents=True)
    (reports / "cohort.html").touch()
    page = quality_index(home)
    assert 'href="quality/ms-1/cohort.html"' in page
    assert "<img" not in page
    assert "not signed yet" in page


def test_a_federation_without_a_report_has_no_link(home: Path) -> None:
    (home / "runs" / "run-2").mkdir()
    (home / "runs" / "run-2" / "decision.json").write_text('{"accepted": false}')
    page = federation_index(home)
    assert 'href="federation/run-1/report.html"' in page
    assert "run-2" in page
    assert "federation/run-2" not in page
    assert "refused by this site" in page


def test_empty_lists_say_what_to_do(tmp_path: Path) -> None:
    assert "Prepare cohort" in quality_index(tmp_path)
    assert "No federation yet" in federation_index(tmp_path)


def test_a_federation_is_told_in_the_words_of_its_report(home: Path) -> None:
    assert "report</td>" in federation_index(home)
    (home / "runs" / "run-1" / "summary.json").write_text('{"title": "MS <i>", "sentence": "Finished: 4 rounds."}')
    assert "MS &lt;i&gt;. Finished: 4 rounds." in federation_index(home)


def test_a_cohort_says_how_far_its_review_is(home: Path) -> None:
    assert "1 case, 0 decided on; not signed yet" in quality_index(home)
    (home / "work" / "ms-1").mkdir(parents=True)
    (home / "work" / "ms-1" / "review.json").write_text("{}")
    assert "1 case; its decisions cannot be read" in quality_index(home)
    (home / "cohorts" / "ms-1" / "cohort.json").write_text("{}")
    assert "1 case; signed and frozen" in quality_index(home)
