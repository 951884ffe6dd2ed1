"""The reviewer's table: worst first, and no text of a file can become markup."""

from pathlib import Path

from konsil.cohort.cases import Case
from konsil.cohort.folder import CohortFolder, SiteFolder
from konsil.files import write_bytes, write_json
from operators.summary import cohort_markdown, plain


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
    order = [text.index(f"`sub-{subject}_ses-1`") for subject in ("2", "3", "1")]
    assert order == sorted(order)
    assert "| `sub-2_ses-1` | **fail** | voxels are 2 mm; motion |" in text


def test_what_was_set_aside_is_told_with_its_reason(tmp_path: Path) -> None:
    assert "- `sub-5_ses-1` by *scan*: There is no FLAIR / (b)" in cohort_markdown(cohort(tmp_path))


def test_text_stays_text() -> None:
    assert plain("a|b\n[x](javascript:1) <i> `c`") == "a/b (x)(javascript:1) (i) 'c'"
