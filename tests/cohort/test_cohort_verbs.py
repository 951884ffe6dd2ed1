"""`konsil freeze` and `konsil adopt`, as a person types them."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from typer.testing import CliRunner

from konsil.cli.app import assemble
from konsil.cohort.cases import Case
from konsil.cohort.folder import CohortFolder, SiteFolder
from konsil.cohort.frozen import read_frozen
from konsil.errors import BadInput, Missing
from konsil.files import sha256_of, write_bytes, write_json


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KONSIL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def cohort(home: Path) -> CohortFolder:
    folder = SiteFolder(home).cohort("ms")
    for subject in ("P1", "P2", "P3"):
        case = Case(subject, "1")
        for path in (
            folder.raw(case, "T1w"),
            folder.oriented(case, "FLAIR"),
            folder.registered(case),
            folder.lesions(case),
        ):
            write_bytes(path, path.name.encode())
        write_json(folder.qc(case), {"verdict": "pass"})
    write_bytes(folder.reports / "cohort.html", b"<html></html>")
    return folder


def run(*words: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(assemble(), [str(word) for word in words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_a_signed_cohort_is_frozen(cohort: CohortFolder, tmp_path: Path) -> None:
    digest = sha256_of(cohort.reports / "cohort.html")
    signed = {"by": "dr.a", "at": "2026-11-21T10:00:00+01:00", "report_sha256": digest, "decisions": {}}
    write_json(tmp_path / "signed.json", signed)
    code, said = run("freeze", "ms", "--sign-off", tmp_path / "signed.json", "--result", tmp_path / "out.json")
    assert code == 0
    assert "ms is frozen: 1 train, 1 validation, 1 test, 0 excluded." in said
    frozen = read_frozen(cohort.frozen)
    assert frozen.sign_off is not None
    assert frozen.sign_off.at.isoformat() == "2026-11-21T09:00:00+00:00"
    assert set(json.loads((tmp_path / "out.json").read_text())["cases"].values()) == {"train", "validation", "test"}


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"by": ""}, "at by"),
        ({"at": "2026-11-21T10:00:00"}, "timezone"),
        ({"report_sha256": "abc"}, "report_sha256"),
        ({"decisions": {"sub-P1_ses-1": {"decision": "exclude"}}}, "needs a reason"),
        ({"decisions": {"sub-P1_ses-1": {"decision": "perhaps"}}}, "accept"),
    ],
)
def test_a_sign_off_that_is_none_is_refused(
    cohort: CohortFolder, tmp_path: Path, change: dict[str, object], rule: str
) -> None:
    signed = {"by": "dr.a", "at": "2026-11-21T10:00:00Z", "report_sha256": sha256_of(cohort.reports / "cohort.html")}
    write_json(tmp_path / "signed.json", signed | change)
    with pytest.raises(BadInput, match=rule):
        run("freeze", "ms", "--sign-off", tmp_path / "signed.json")
    assert not cohort.frozen.exists()


def test_without_a_sign_off_nothing_is_frozen(cohort: CohortFolder, tmp_path: Path) -> None:
    assert run("freeze", "ms")[0] == 2, "typer's own exit code for a missing option"
    with pytest.raises(Missing):
        run("freeze", "ms", "--sign-off", tmp_path / "nowhere.json")
    assert not cohort.frozen.exists()


def test_a_table_of_pairs_is_adopted(home: Path, tmp_path: Path) -> None:
    values = np.arange(27, dtype=np.int16).reshape(3, 3, 3)
    lines = ["subject\tMR\tlabel"]
    for subject in "ABC":
        nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / f"{subject}.nii.gz")
        nib.save(nib.Nifti1Image((values % 3).astype(np.uint8), np.eye(4)), tmp_path / f"{subject}_l.nii.gz")
        lines.append(f"{subject}\t{subject}.nii.gz\t{subject}_l.nii.gz")
    (tmp_path / "pairs.tsv").write_text("\n".join(lines))
    words = ("adopt", tmp_path / "pairs.tsv", "--cohort", "hippo", "--label", "anterior", "--label", "posterior")
    code, said = run(*words)
    assert code == 0
    assert "hippo is frozen: 1 train, 1 validation, 1 test." in said
    frozen = read_frozen(home / "cohorts" / "hippo")
    assert frozen.channels == ["MR"]
    assert frozen.labels == {"background": 0, "anterior": 1, "posterior": 2}
