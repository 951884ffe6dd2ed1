"""Bad input gets a sentence, leaves nothing half-written, and does not stop the rest: through the real command."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

Konsil = Callable[..., subprocess.CompletedProcess[str]]
SMALL_QUOTA = 2048  # bytes that one file may have


@pytest.fixture
def konsil(tmp_path: Path) -> Konsil:
    """Run a verb with its own home; `quota` limits the size of every file it writes."""

    def run(*arguments: object, quota: int | None = None) -> subprocess.CompletedProcess[str]:
        def limit() -> None:
            if quota is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (quota, quota))

        return subprocess.run(
            [sys.executable, "-m", "konsil.cli", *map(str, arguments)], capture_output=True, text=True, check=False,
            env=os.environ | {"KONSIL_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}, preexec_fn=limit,
        )  # fmt: skip

    return run


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An inbox of two patients, one of them without FLAIR."""
    from konsil.phantom.hospital import write_hospital

    folder = tmp_path_factory.mktemp("hospital")
    faults = {"missing_flair": 1}
    write_hospital(
        folder / "inbox", site="B", cases=2, seed=5, resolution_mm=5.0, faults=faults, truth=folder / "truth.json"
    )
    return folder / "inbox"


def says(ended: subprocess.CompletedProcess[str], *words: str, code: int) -> None:
    """One sentence on stderr that holds the words, and no traceback."""
    assert "Traceback" not in ended.stderr, ended.stderr
    assert ended.returncode == code, ended.stderr
    for word in words:
        assert word.lower() in ended.stderr.lower(), ended.stderr


def test_an_empty_inbox(konsil: Konsil, tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    says(konsil("scan", tmp_path / "inbox", "--cohort", "ms"), "DICOM", code=1)
    assert not (tmp_path / "home" / "cohorts" / "ms" / "participants.tsv").exists()


def test_an_inbox_that_is_not_there(konsil: Konsil, tmp_path: Path) -> None:
    says(konsil("scan", tmp_path / "nowhere", "--cohort", "ms"), "inbox", code=1)


def test_a_folder_of_jpegs(konsil: Konsil, tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    for number in range(3):
        Image.new("RGB", (8, 8)).save(tmp_path / "inbox" / f"{number}.jpg")
    says(konsil("scan", tmp_path / "inbox", "--cohort", "ms"), "DICOM", code=1)


def test_t1w_without_flair_is_set_aside_and_the_other_case_goes_on(konsil: Konsil, hospital: Path) -> None:
    says(konsil("scan", hospital, "--cohort", "ms"), "set aside", "FLAIR", "1 cases came through", code=2)


def test_a_truncated_dicom_file(konsil: Konsil, hospital: Path, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    subprocess.run(["cp", "-r", str(hospital), str(inbox)], check=True)
    largest = max((path for path in inbox.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    for path in [p for p in largest.parent.iterdir() if p.is_file()][:1]:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    scanned = konsil("scan", inbox, "--cohort", "ms")
    stripped = konsil("deidentify", inbox, "ms")
    converted = konsil("convert", tmp_path / "home" / "work" / "ms" / "dicom", "ms")
    said = scanned.stderr + scanned.stdout + stripped.stderr + converted.stderr
    assert "Traceback" not in said
    assert any(word in said.lower() for word in ("truncated", "cut", "ends", "incomplete", "missing", "shorter")), said
    assert max(scanned.returncode, stripped.returncode, converted.returncode) > 0


def test_a_site_pass_that_nobody_issued(konsil: Konsil, tmp_path: Path) -> None:
    (tmp_path / "pass.json").write_text(json.dumps({"format": "konsil.site-pass/1", "site": "A"}))
    says(konsil("site", "join", tmp_path / "pass.json"), "pass", code=1)
    assert not (tmp_path / "home" / "pass.json").exists()


def test_a_bucket_address_where_nobody_answers(konsil: Konsil, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    centre = tmp_path / "centre"
    konsil("central", "init", "--home", centre, "--endpoint", "https://127.0.0.1:9")
    invited = konsil("central", "invite", "A", "--home", centre, "--out", tmp_path / "pass.json")
    assert invited.returncode == 0, invited.stderr
    says(konsil("site", "join", tmp_path / "pass.json"), "127.0.0.1:9", code=1)
    monkeypatch.setenv("KONSIL_TRY_LATER", "75")
    says(konsil("site", "join", tmp_path / "pass.json"), "127.0.0.1:9", code=75)
    says(konsil("site", "join", tmp_path / "no.pass"), "no.pass", code=1)


def test_a_full_disk(konsil: Konsil, hospital: Path, tmp_path: Path) -> None:
    assert konsil("scan", hospital, "--cohort", "ms").returncode == 2
    says(konsil("deidentify", hospital, "ms", quota=SMALL_QUOTA), "disk is full", code=1)
    work = tmp_path / "home" / "work" / "ms"
    assert not list(work.rglob(".part-*")), "half a file was left"
    assert konsil("deidentify", hospital, "ms").returncode == 0, "with room again it goes on"


@pytest.mark.parametrize("verb", [("predict", "ms", "--model"), ("export-model",)])
def test_a_model_that_is_not_there(konsil: Konsil, tmp_path: Path, verb: tuple[str, ...]) -> None:
    rest = [str(tmp_path / "out.zip")] if verb[0] == "export-model" else []
    says(konsil(*verb, tmp_path / "models" / "ms-9", *rest), "there is no model ms-9 here", code=1)


def test_a_cohort_name_that_is_not_a_name(konsil: Konsil, hospital: Path) -> None:
    says(konsil("scan", hospital, "--cohort", "../elsewhere"), "cohort", "expected", code=1)


def test_the_name_of_a_frozen_cohort_is_not_given_to_another_inbox(
    konsil: Konsil, hospital: Path, tmp_path: Path
) -> None:
    assert konsil("scan", hospital, "--cohort", "ms").returncode == 2
    frozen = tmp_path / "home" / "cohorts" / "ms" / "cohort.json"
    frozen.parent.mkdir(parents=True)
    frozen.write_text("{}")
    (first, *_) = sorted(path for path in hospital.iterdir() if path.is_dir())
    says(konsil("scan", first, "--cohort", "ms"), "frozen", "another name", code=1)
