"""What to fetch: lists and searches, through the verb; entries are never repeated."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest
from typer.testing import CliRunner

from konsil.cli.app import assemble
from konsil.dicom.dicomweb import Access, Server
from konsil.dicom.wishes import NOT_TRIED, Search, entries, studies_of_patients
from konsil.errors import BadInput, KonsilError, Missing

Writer = Callable[..., str]


def connect(pacs: Any, **access: object) -> Server:
    return Server(Access(pacs.url, timeout_s=5, pause_s=0, **access))


def kept(inbox: Path) -> list[Path]:
    assert not list(inbox.rglob(".part-*"))
    return sorted(inbox.rglob("*.dcm"))


def study_of(file: Path) -> str:
    return str(pydicom.dcmread(file).StudyInstanceUID)


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pacs: Any, caplog: pytest.LogCaptureFixture) -> Callable:
    """Run the verb; gives exit code and everything that was said, log included."""
    monkeypatch.setenv("KONSIL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KONSIL_DICOMWEB_URL", pacs.url)
    caplog.set_level(logging.DEBUG)

    def run(*words: object) -> tuple[int, str]:
        result = CliRunner().invoke(assemble(), ["fetch", *map(str, words)])
        if isinstance(result.exception, KonsilError):
            return 1, result.exception.sentence + caplog.text
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.output + caplog.text

    return run


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines), encoding="utf-8-sig")
    return path


def test_a_list_of_studies(pacs: Any, fill: Writer, say: Callable, tmp_path: Path) -> None:
    fill("1.2.3", skip=16)
    listed = write(tmp_path / "list", "# study", "", '"1.2.3"', "Plantagenet/../x", "1.2.99")
    code, said = say("--studies", listed, "--result", tmp_path / "result.json")
    assert code == 2
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["done"] == ["line 3"]
    assert set(result["set_aside"]) == {"line 4", "line 5"}
    assert len(kept(tmp_path / "home" / "inbox")) == 4
    assert [word for word in ("Plantagenet", "1.2.3", "1.2.99") if word in said] == []


def test_a_list_of_patients(pacs: Any, fill: Writer, say: Callable, tmp_path: Path) -> None:
    fill("1.2.3", patient="KX-1", skip=16, StudyDate="20210101")
    fill("1.2.4", patient="KX-1", skip=16, StudyDate="20220101")
    fill("1.2.5", patient="KX-2", skip=16)
    fill("1.2.6", patient="KX-10", skip=16)
    listed = write(tmp_path / "list", "KX-1", "KX-9", "KX*", "KX-2")
    code, said = say("--patients", listed, "--result", tmp_path / "result.json")
    assert code == 2
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["done"] == ["line 1, study 1", "line 1, study 2", "line 4"]
    assert "no such MR study" in result["set_aside"]["line 2"]
    assert "no patient's number" in result["set_aside"]["line 3"]
    assert {study_of(file) for file in kept(tmp_path / "home")} == {"1.2.3", "1.2.4", "1.2.5"}
    assert "KX" not in said


def test_a_server_that_is_gone_is_not_asked_about_every_patient(pacs: Any, tmp_path: Path) -> None:
    pacs.url = "http://127.0.0.1:9/dw"
    listed = write(tmp_path / "list", *(f"KX-{number}" for number in range(5)))
    wishes = studies_of_patients(connect(pacs), listed, Search())
    assert "does not answer" in wishes.refused["line 3"]
    assert wishes.refused["line 5"] == NOT_TRIED


def test_a_server_that_ignores_filters_gives_no_strangers_studies(
    pacs: Any, fill: Writer, say: Callable, tmp_path: Path
) -> None:
    fill("1.2.3", patient="KX-1", skip=16)
    fill("1.2.4", patient="KX-2", skip=16)
    pacs.faults["deaf"] = "/studies?"
    assert say("--patients", write(tmp_path / "list", "KX-1"))[0] == 0
    assert {study_of(file) for file in kept(tmp_path / "home")} == {"1.2.3"}


@pytest.mark.parametrize("deaf", [False, True])
def test_a_search_by_days_and_description(pacs: Any, fill: Writer, say: Callable, tmp_path: Path, deaf: bool) -> None:
    fill("1.2.1", skip=16, StudyDate="20201231", StudyDescription="MS Verlauf")
    fill("1.2.2", skip=16, StudyDate="20210101", StudyDescription="MS Verlauf")
    fill("1.2.3", skip=16, StudyDate="20210131", StudyDescription="Knie")
    fill("1.2.4", skip=16, StudyDate="20210201", StudyDescription="MS Verlauf")
    if deaf:
        pacs.faults["deaf"] = "/studies?"
    code, said = say("--from", "2021-01-01", "--to", "2021-01-31", "--description", "MS", "--result", tmp_path / "r")
    assert code == 0
    assert json.loads((tmp_path / "r").read_text())["done"] == ["study 1"]
    assert {study_of(file) for file in kept(tmp_path / "home")} == {"1.2.2"}
    assert "1.2.2" not in said


def test_a_search_that_finds_nothing_is_a_sentence(say: Callable) -> None:
    code, said = say("--from", "2021-01-01")
    assert (code, "the search found no MR study" in said) == (1, True)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "not said what to fetch"),
        (("--studies", "a", "--patients", "b"), "complete by itself"),
        (("--studies", "nowhere.txt"), "the list is not there"),
        (("--url", "gopher://x", "--from", "2021-01-01"), "address of the DICOMweb server"),
    ],
)
def test_a_wrong_command_is_a_sentence(say: Callable, words: tuple[str, ...], sentence: str) -> None:
    code, said = say(*words)
    assert (code, sentence in said) == (1, True), said


def test_secrets_come_from_files_and_are_never_said(
    pacs: Any, fill: Writer, say: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill("1.2.3", skip=16)
    pacs.secret = "Bearer s3cret"
    (tmp_path / "token").write_text("s3cret\n")
    monkeypatch.setenv("KONSIL_DICOMWEB_TOKEN_FILE", str(tmp_path / "token"))
    code, said = say("--from", "2000-01-01")
    assert (code, "s3cret" in said) == (0, False)
    (tmp_path / "token").write_text("0ther\n")
    code, said = say("--from", "2000-01-01")
    assert (code, "credentials" in said, "0ther" in said) == (1, True, False)
    monkeypatch.setenv("KONSIL_DICOMWEB_TOKEN", "0ther")
    assert "given twice" in say("--from", "2000-01-01")[1]


def test_lists_that_are_none_are_sentences(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"M\xfcller\n")
    write(tmp_path / "empty", "", "# nothing")
    for name in ("latin", "empty", "."):
        with pytest.raises(BadInput):
            list(entries(tmp_path / name))
    with pytest.raises(Missing):
        list(entries(tmp_path / "gone"))


def test_wildcards_of_a_description_are_checked_as_the_server_does() -> None:
    study = {"00081030": {"vr": "LO", "Value": ["Kopf MS-Verlauf (3T)"]}}
    for text, fits_it in (("ms", True), ("MS?Verl", True), ("kopf*3t", True), ("(3T)", True), ("MS.V", False)):
        assert Search(description=text).fits(study) is fits_it
