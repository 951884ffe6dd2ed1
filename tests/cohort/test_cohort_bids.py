"""A frozen cohort is a BIDS data set, and so is its derivative: the validator finds no error in either."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from konsil.cohort import bids
from konsil.cohort.bids_sidecar import derived_facts, uri
from konsil.cohort.cases import Case
from konsil.cohort.derivative import fingerprint, sidecar, stamp
from konsil.cohort.folder import CohortFolder, SiteFolder
from konsil.cohort.freeze import freeze
from konsil.cohort.frozen import SignOff
from konsil.cohort.volume import Volume, write_volume
from konsil.files import read_json, sha256_of, write_bytes, write_json

Errors = Callable[[Path], list[tuple[str, str]]]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> CohortFolder:
    """Two frozen cases of 4 x 4 x 4 voxels with every file that the steps of prepare_cohort write, by their writers."""
    folder = SiteFolder(tmp_path_factory.mktemp("home")).cohort("ms")
    for subject in ("p1", "p2"):
        write_case(folder, Case(subject, "20200101"))
    bids.describe(folder)
    write_bytes(folder.reports / "cohort.html", b"<html></html>")
    sign_off = SignOff(
        by="r", at=datetime.now(UTC), report_sha256=sha256_of(folder.reports / "cohort.html"), decisions={}
    )
    freeze(folder, sign_off=sign_off, seed=1)
    return folder


def write_case(folder: CohortFolder, case: Case) -> None:
    volume = Volume(np.arange(64, dtype=np.int16).reshape(4, 4, 4), np.eye(4))
    for suffix in ("T1w", "FLAIR"):
        write_volume(folder.raw(case, suffix), volume)
        write_json(sidecar(folder.raw(case, suffix)), {"EchoTime": 0.003, "RepetitionTime": 2.3})
    write_bytes(folder.transform(case), b"#Insight Transform File V1.0\n")
    images = [*(folder.oriented(case, suffix) for suffix in ("T1w", "FLAIR")), folder.registered(case)]
    images += [folder.brain(case, suffix) for suffix in ("T1w", "FLAIR")]
    masks = [*(folder.brain_mask(case, suffix) for suffix in ("T1w", "FLAIR")), folder.lesions(case)]
    for path in images:
        write_volume(path, volume)
    for path in masks:
        write_volume(path, Volume((volume.data > 30).astype(np.uint8), volume.affine))
    for path in (*images, *masks, folder.transform(case)):
        sources = {"raw": folder.raw(case, "T1w")}
        stamp(path, "test", sources, fingerprint(sources), {"Type": "Brain"} if "_mask" in path.name else {})
    write_json(folder.qc(case), {"verdict": "pass"})
    write_bytes(folder.report(case), b"<html></html>")


def test_the_raw_data_set_has_no_error(cohort: CohortFolder, bids_errors: Errors) -> None:
    assert bids_errors(cohort.path) == []


def test_the_derivative_has_no_error(cohort: CohortFolder, bids_errors: Errors) -> None:
    assert bids_errors(cohort.derivatives) == []


def test_the_validator_would_see_what_is_missing(cohort: CohortFolder, tmp_path: Path, bids_errors: Errors) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(cohort.derivatives, broken)
    next(broken.rglob("*_desc-registered_T1w.json")).unlink()
    (broken / ".bidsignore").write_text("")
    codes = {code for code, _ in bids_errors(broken)}
    assert {"SIDECAR_KEY_REQUIRED", "NOT_INCLUDED"} <= codes


def test_readme_and_participants_say_what_they_are(cohort: CohortFolder) -> None:
    assert "Research use only" in (cohort.path / "README.md").read_text()
    assert (cohort.path / "participants.tsv").read_text() == "participant_id\nsub-p1\nsub-p2\n"
    assert "Pseudonym" in read_json(cohort.path / "participants.json")["participant_id"]["Description"]


def test_a_derived_file_says_what_it_lies_on_and_whether_the_skull_is_there(cohort: CohortFolder) -> None:
    case = Case("p1", "20200101")
    facts = read_json(sidecar(cohort.brain(case, "T1w")))
    assert facts["SkullStripped"] is True
    reference = "bids::sub-p1/ses-20200101/anat/sub-p1_ses-20200101_desc-oriented_FLAIR.nii.gz"
    assert facts["SpatialReference"] == reference
    assert (cohort.derivatives / reference.removeprefix("bids::")).is_file()
    assert facts["Sources"] == ["bids:raw:sub-p1/ses-20200101/anat/sub-p1_ses-20200101_T1w.nii.gz"]
    assert derived_facts(cohort.oriented(case, "T1w"))["SkullStripped"] is False
    assert "SpatialReference" not in derived_facts(cohort.oriented(case, "T1w"))


def test_a_file_outside_a_data_set_is_named_alone() -> None:
    assert uri(Path("/a/b/lesions.nii.gz")) == "lesions.nii.gz"
