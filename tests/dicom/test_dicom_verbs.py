"""The verbs from inbox to BIDS, as a person types them."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from typer.testing import CliRunner

from konsil.cli.app import assemble
from konsil.cohort.folder import SiteFolder
from konsil.dicom.deidentify import deidentify
from konsil.dicom.scan import scan
from konsil.errors import BadInput, Unavailable

Writer = Callable[..., str]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KONSIL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def run(*words: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(assemble(), [str(word) for word in words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_the_three_verbs_lead_from_inbox_to_bids(home: Path, inbox: Path, tmp_path: Path) -> None:
    code, said = run("scan", inbox, "--cohort", "ms", "--result", tmp_path / "scan.json")
    assert code == 0
    assert "T1w: series 3 (18 files). It is T1-weighted (GR IR, TR 2300, TE 2.98, TI 900 ms, 3D)." in said
    (case,) = json.loads((tmp_path / "scan.json").read_text())["done"]
    assert run("deidentify", inbox, "ms", "--case", case)[0] == 0
    assert run("convert", home / "work" / "ms" / "dicom", home / "cohorts" / "ms", "--case", case)[0] == 0
    assert [str(found) for found in SiteFolder(home).cohort("ms").cases()] == [case]


def test_exit_code_2_says_that_some_were_set_aside(home: Path, inbox: Path, series: Writer) -> None:
    series(inbox / "P2", "T1w", PatientID="P2")
    code, said = run("scan", inbox, "--cohort", "ms")
    assert code == 2
    assert "no usable FLAIR on this day" in said
    assert "1 cases came through, 1 set aside." in said


def test_exit_code_1_says_that_nothing_came_through(home: Path, inbox: Path, tmp_path: Path, series: Writer) -> None:
    series(tmp_path / "alone", "T1w")
    assert run("scan", tmp_path / "alone", "--cohort", "ms")[0] == 1


def test_the_screen_shows_nothing_that_the_hospital_wrote(home: Path, inbox: Path, planted: dict[str, str]) -> None:
    _, said = run("scan", inbox, "--cohort", "ms")
    assert [name for name, value in planted.items() if value in said] == []


def test_an_unsafe_cohort_name_is_refused(home: Path, inbox: Path) -> None:
    with pytest.raises(BadInput, match="name of a cohort"):
        run("scan", inbox, "--cohort", "../ms")


def test_a_full_disk_blames_no_case(home: Path, inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = SiteFolder(home)
    scan(site, "ms", inbox)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(pydicom.Dataset, "save_as", full)
        with pytest.raises(Unavailable, match="disk is full"):
            deidentify(site, "ms")
    assert site.cohort("ms").set_aside_cases() == {}
    assert deidentify(site, "ms").exit_code == 0


def test_a_person_chooses_between_equal_series(home: Path, inbox: Path, series: Writer, tmp_path: Path) -> None:
    series(inbox / "repeat", "T1w", number=8, AcquisitionTime="102012.000000")
    code, said = run("scan", inbox, "--cohort", "ms")
    assert code == 1
    assert "A person has to decide which it is: konsil choose." in said
    code, said = run("choose", "ms", "--result", tmp_path / "open.json")
    assert code == 0
    assert "which series is the T1w?" in said
    (question,) = json.loads((tmp_path / "open.json").read_text())["questions"]
    later = question["candidates"][1]
    assert f"{later['key']}  series 8 (18 files): GR IR" in said
    code, said = run(
        *("choose", "ms", "--case", question["case"], "--role", "T1w", "--series", later["key"], "--by", "Dr. A")
    )
    assert "0 open questions." in said
    code, said = run("scan", inbox, "--cohort", "ms")
    assert code == 0
    assert "T1w: series 8 (18 files)" in said


def test_half_a_choice_is_refused(home: Path) -> None:
    with pytest.raises(BadInput, match="--case, --role, --series and --by together"):
        run("choose", "ms", "--role", "T1w")
