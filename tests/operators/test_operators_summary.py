"""The reviewer's table: worst first, and no text of a file can become markup."""

from datetime import UTC, datetime
from pathlib import Path

from konsil.cohort.cases import Case
from konsil.cohort.folder import CohortFolder, SiteFolder
from konsil.files import write_bytes, write_json
from konsil.quality.review import Review
from operators.summary import MOST_LINES, MOST_NAMES, cohort_markdown, plain, reviews_markdown, table


def cohort(home: Path) -> CohortFolder:
    folder = SiteFolder(home).cohort("ms-1")
    for subject, verdict, reasons in (
        ("1", "pass", []),
        ("2", "fail", ["voxels are 2 mm.", "motion"]),
        ("3", "warn", []),
    ):
        case = Case(subject, "1")
        write_bytes(folder.raw(case, "T1w"), b"image")
        write_json(folder.qc(case), {"verdict": verdict, "reasons": reasons})
    write_bytes(folder.raw(Case("4", "1"), "T1w"), b"image")
    folder.set_aside(Case("5", "1"), "scan", "There is no FLAIR | <b>")
    return folder


def test_the_worst_come_first_with_their_reasons(tmp_path: Path) -> None:
    text = cohort_markdown(cohort(tmp_path))
    assert text.startswith("4 cases: 1 pass, 1 warn, 1 fail, 1 not measured; 1 set aside.")
    order = [text.index(f"| sub-{subject}_ses-1 |") for subject in ("2", "3", "1")]
    assert order == sorted(order)
    assert "| sub-2_ses-1 | **fail** | voxels are 2 mm; motion |" in text


def test_cases_with_the_same_reasons_share_a_line() -> None:
    rows = [(0, "x", "fail", "motion"), *((2, f"c{number}", "pass", "") for number in range(MOST_NAMES + 3))]
    lines = table(rows)[2:]
    assert lines[0] == "| x | **fail** | motion |"
    assert lines[1].startswith("| c0, c1, ")
    assert lines[1].endswith("and 3 more | **pass** |  |")
    assert len(lines) == 2


def test_a_long_table_says_how_many_cases_it_leaves_out() -> None:
    rows = [(0, f"c{number}", "fail", f"reason {number}") for number in range(MOST_LINES + 4)]
    assert table(rows)[-1] == "| … | | and 4 more in the report |"


def test_what_was_set_aside_is_told_with_its_reason(tmp_path: Path) -> None:
    assert "- `sub-5_ses-1` by *scan*: There is no FLAIR / (b)" in cohort_markdown(cohort(tmp_path))


def test_text_stays_text() -> None:
    assert plain("a|b\n[x](javascript:1) <i> `c`") == "a/b (x)(javascript:1) (i) 'c'"


def reviewed(decision: str, note: str) -> Review:
    now = datetime(2026, 11, 21, tzinfo=UTC)
    return Review(decision=decision, note=note, by="dr-weber", at=now, page_sha256="a" * 64, seen="b" * 64)


def test_decisions_of_the_tab_are_listed_and_outdated_ones_told_apart() -> None:
    standing = {"sub-1_ses-1": reviewed("exclude", "motion <b>"), "sub-2_ses-1": reviewed("accept", "")}
    text = reviews_markdown(standing, {"sub-3_ses-1": reviewed("accept", "")})
    assert "- `sub-1_ses-1` **exclude**: motion (b) (dr-weber)" in text
    assert "- `sub-2_ses-1` **accept** (dr-weber)" in text
    assert text.index("not used") < text.index("sub-3_ses-1")
    assert reviews_markdown({}, {}) == ""


def test_a_long_list_says_how_much_more_there_is() -> None:
    many = {f"sub-{number}_ses-1": reviewed("accept", "") for number in range(MOST_LINES + 5)}
    assert reviews_markdown(many, {}).endswith("and 5 more in the report")
