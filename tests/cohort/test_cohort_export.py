"""What is handed on is a frozen cohort of its own, valid BIDS, and nothing that was not asked for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from konsil.cohort import bids
from konsil.cohort.cases import Case
from konsil.cohort.derivative import fingerprint, stamp
from konsil.cohort.export import copy_all, export
from konsil.cohort.folder import SiteFolder
from konsil.cohort.freeze import freeze
from konsil.cohort.frozen import Decision, FrozenCohort, SignOff, read_frozen
from konsil.cohort.volume import Volume, write_volume
from konsil.errors import BadInput
from konsil.files import sha256_of, write_bytes, write_json

Errors = Callable[[Path], list[tuple[str, str]]]


@pytest.fixture
def frozen(tmp_path: Path) -> FrozenCohort:
    """Two cases, one excluded with a reason, signed by somebody."""
    folder = SiteFolder(tmp_path / "home").cohort("ms")
    for number, subject in enumerate(("p1", "p2")):
        case = Case(subject, "20200101")
        volume = Volume(np.arange(64, dtype=np.int16).reshape(4, 4, 4) + number, np.eye(4))
        for suffix in ("T1w", "FLAIR"):
            write_volume(folder.raw(case, suffix), volume)
        for path in folder.channels(case).values():
            write_volume(path, volume)
            stamp(path, "x", {"raw": folder.raw(case, "T1w")}, fingerprint({"raw": folder.raw(case, "T1w")}))
        write_volume(folder.lesions(case), Volume((volume.data % 2).astype(np.uint8), np.eye(4)))
        write_json(folder.qc(case), {"verdict": "pass"})
    bids.describe(folder)
    write_bytes(folder.reports / "cohort.html", b"<html></html>")
    decisions = {"sub-p2_ses-20200101": Decision(decision="exclude", reason="moved a lot")}
    report = sha256_of(folder.reports / "cohort.html")
    signed = SignOff(by="Prof. Ottokar", at=datetime.now(UTC), report_sha256=report, decisions=decisions)
    return freeze(folder, sign_off=signed, seed=1)


def test_images_and_labels_are_the_same_bytes_under_a_new_frozen_cohort(frozen: FrozenCohort, tmp_path: Path) -> None:
    exported = export(frozen, tmp_path / "out", copy_all, faces="Kept.")
    assert read_frozen(tmp_path / "out").cases == exported.cases
    (before,), (after,) = frozen.cases, exported.cases
    assert set(after.images) == {"T1w", "FLAIR", "T1wBrain", "FLAIRBrain"}
    for channel, path in after.images.items():
        assert (tmp_path / "out" / path).read_bytes() == (frozen.root / before.images[channel]).read_bytes()
    assert after.label is not None
    assert after.split == before.split


def test_reports_reasons_and_names_stay_behind(frozen: FrozenCohort, tmp_path: Path) -> None:
    export(frozen, tmp_path / "out", copy_all, faces="Kept.")
    texts = [path for path in (tmp_path / "out").rglob("*") if path.suffix in (".json", ".md", ".tsv")]
    assert len(texts) > 5
    for path in texts:
        text = path.read_text()
        assert not [word for word in ("Ottokar", "moved a lot", "p2", "Sha256") if word in text], path.name
    assert not list((tmp_path / "out").rglob("*.html"))


def test_the_export_is_valid_bids(frozen: FrozenCohort, tmp_path: Path, bids_errors: Errors) -> None:
    export(frozen, tmp_path / "out", copy_all, faces="Kept.")
    assert bids_errors(tmp_path / "out") == []


def test_exporting_again_changes_nothing(frozen: FrozenCohort, tmp_path: Path) -> None:
    export(frozen, tmp_path / "out", copy_all, faces="Kept.")
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in files}
    export(frozen, tmp_path / "out", copy_all, faces="Kept.")
    assert {path: path.read_bytes() for path in files} == before


def test_a_folder_that_holds_something_else_is_refused(frozen: FrozenCohort, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("only copy")
    with pytest.raises(BadInput, match="holds something else"):
        export(frozen, tmp_path / "out", copy_all, faces="Kept.")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]


def test_the_cohorts_own_folder_is_refused(frozen: FrozenCohort) -> None:
    with pytest.raises(BadInput, match="may not lie in the cohort's folder"):
        export(frozen, frozen.root / "out", copy_all, faces="Kept.")
