"""A whole inbox: the same seed gives the same bytes, faults are where the truth says, nothing else is disturbed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from typer.testing import CliRunner

from konsil.cli.app import assemble
from konsil.errors import BadInput
from konsil.phantom import hospital
from konsil.phantom.hospital import write_hospital
from konsil.phantom.patient import make_patient

FAULTS = {"missing_flair": 1, "mixed_patients": 1, "missing_slice": 1, "no_lesions": 1, "wrong_voxel_size": 1}


def order(out: Path, **changes: Any) -> Path:
    truth = out.parent / f"{out.name}_truth.json"
    wanted = {"site": "B", "cases": 2, "seed": 5, "resolution_mm": 5.0, "faults": {}, "truth": truth}
    write_hospital(out, **(wanted | changes))
    return truth


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, Any]]]:
    """An inbox with one patient for each fault of filing, and the truth by fault (a guest under `guest`)."""
    out = tmp_path_factory.mktemp("hospital") / "inbox"
    truth = json.loads(order(out, cases=5, faults=FAULTS).read_text())
    return out, {"guest" if entry["guest"] else entry["fault"]: entry for entry in truth["patients"]}


def slices(out: Path, entry: dict[str, Any], series: str) -> list[pydicom.Dataset]:
    uid = entry["series"][series]
    read = [pydicom.dcmread(p, stop_before_pixels=True) for p in (out / entry["folder"]).rglob("*") if p.is_file()]
    return sorted((s for s in read if s.SeriesInstanceUID == uid), key=lambda s: int(s.InstanceNumber))


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    truths = [order(tmp_path / name).read_bytes() for name in ("one", "two")]
    assert truths[0] == truths[1]
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two")
    assert any("SEG" in name for name in hashes(tmp_path / "one"))


def test_another_seed_gives_other_patients(tmp_path: Path) -> None:
    order(tmp_path / "one", cases=1)
    order(tmp_path / "two", cases=1, seed=6)
    assert not set(hashes(tmp_path / "one").values()) & set(hashes(tmp_path / "two").values())


def test_an_interrupted_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second patient dies half-way; nothing of it lies in the inbox, and the next run makes only that one."""
    made: list[int] = []

    def dies_at_second(part: Path, *arguments: Any, **options: Any) -> Any:
        made.append(arguments[1])
        if len(made) == 2:
            (part / "half").mkdir(parents=True)
            raise KeyboardInterrupt
        return admit(part, *arguments, **options)

    admit = hospital.admit
    monkeypatch.setattr(hospital, "admit", dies_at_second)
    with pytest.raises(KeyboardInterrupt):
        order(tmp_path / "inbox")
    assert len(list((tmp_path / "inbox").iterdir())) == 1
    order(tmp_path / "inbox")
    assert made == [1, 2, 2]
    order(tmp_path / "whole")
    assert hashes(tmp_path / "inbox") == hashes(tmp_path / "whole")


def test_the_truth_is_that_of_the_patient(tmp_path: Path) -> None:
    truth = json.loads(order(tmp_path / "inbox", cases=1).read_text())
    patient = make_patient(5001, "B", resolution_mm=5.0)
    (entry,) = truth["patients"]
    assert np.allclose(entry["t1w_to_flair"], patient.t1w_to_flair)
    assert entry["lesion_voxels"] == int(patient.lesions.sum())
    assert not list((tmp_path / "inbox").rglob("*truth*"))


def test_a_missing_flair_is_missing(faulty: tuple[Path, dict[str, Any]]) -> None:
    out, truth = faulty
    entry = truth["missing_flair"]
    assert "FLAIR" not in entry["series"]
    assert slices(out, entry, "T1w")
    assert not list((out / entry["folder"]).rglob("SEG*"))


def test_a_missing_slice_leaves_one_gap(faulty: tuple[Path, dict[str, Any]]) -> None:
    out, truth = faulty
    numbers = [int(s.InstanceNumber) for s in slices(out, truth["missing_slice"], "T1w")]
    assert sorted(np.diff(numbers))[-2:] == [1, 2]


def test_a_wrong_voxel_size_is_in_the_header(faulty: tuple[Path, dict[str, Any]]) -> None:
    out, truth = faulty
    (first, second, *_) = slices(out, truth["wrong_voxel_size"], "T1w")
    thickness = float(first.SliceThickness)
    assert thickness == pytest.approx(1.6 * 5.0, rel=0.05)
    step = np.subtract(second.ImagePositionPatient, first.ImagePositionPatient)
    assert np.linalg.norm(step) == pytest.approx(thickness, abs=1e-4)


def test_two_patients_lie_in_one_folder(faulty: tuple[Path, dict[str, Any]]) -> None:
    out, truth = faulty
    host, guest = truth["mixed_patients"], truth["guest"]
    assert guest["folder"] == host["folder"]
    ids = {
        str(pydicom.dcmread(p, specific_tags=["PatientID"]).PatientID)
        for p in (out / host["folder"]).rglob("*/003_*/*")
    }
    assert ids == {host["identifiers"]["PatientID"], guest["identifiers"]["PatientID"]}
    assert len(ids) == 2


@pytest.mark.parametrize("site", ["A", "B"])
def test_swapped_patients_differ_in_nothing_but_anatomy(site: str, tmp_path: Path) -> None:
    """One name, number and scanner; the FLAIR is the patient's own, the T1w somebody else's."""
    out = tmp_path / "inbox"
    truth = json.loads(order(out, site=site, cases=1, faults={"swapped_patients": 1}).read_text())
    (entry,) = truth["patients"]
    own = make_patient(5001, site, resolution_mm=5.0)
    found = {series: slices(out, entry, series) for series in ("T1w", "FLAIR")}
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "FrameOfReferenceUID", "StationName"):
        assert len({str(one[keyword].value) for series in found.values() for one in series}) == 1
    brightest = {series: {int(one.WindowWidth) for one in read} for series, read in found.items()}
    assert brightest["FLAIR"] == {int(own.flair.array.max() / 1.5)}
    assert brightest["T1w"] != {int(own.t1w.array.max() / 1.5)}
    assert entry["t1w_to_flair"] is None


def test_the_truth_says_how_severe_an_artifact_is(tmp_path: Path) -> None:
    truth = json.loads(order(tmp_path / "inbox", cases=1, faults={"spike@0.5": 1}).read_text())
    assert truth["faults"] == {"spike@0.5": 1}
    assert [(entry["fault"], entry["severity"]) for entry in truth["patients"]] == [("spike", 0.5)]


def test_a_patient_without_lesions_has_no_drawing(faulty: tuple[Path, dict[str, Any]]) -> None:
    out, truth = faulty
    assert truth["no_lesions"]["lesion_ml"] == 0
    assert not list((out / truth["no_lesions"]["folder"]).rglob("SEG*"))
    assert list((out / truth["missing_slice"]["folder"]).rglob("SEG*"))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"site": "Z"}, "site is not known"),
        ({"cases": 0}, "size"),
        ({"faults": {"fire": 1}}, "fault is not known"),
        ({"faults": {"motion": 3}}, "more faults than patients"),
        ({"seed": -1}, "counts"),
    ],
)
def test_an_impossible_order_gets_a_sentence(changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=says):
        order(tmp_path / "inbox", **changes)
    assert not list(tmp_path.iterdir())


def test_the_truth_may_not_lie_in_the_inbox(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="may not lie in the inbox"):
        order(tmp_path / "inbox", truth=tmp_path / "inbox" / "truth.json")


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "thesis.txt").write_text("only copy")
    with pytest.raises(BadInput, match="something else"):
        order(tmp_path / "inbox")
    assert [p.name for p in tmp_path.rglob("*")] == ["inbox", "thesis.txt"]


def test_the_verb_says_where_things_lie(tmp_path: Path) -> None:
    out = tmp_path / "inbox"
    arguments = ["phantom", str(out), "--site", "C", "--cases", "1", "--resolution", "5", "--fault", "missing_flair=1"]
    result = CliRunner().invoke(assemble(), arguments)
    assert result.exit_code == 0, result.output
    truth = json.loads((tmp_path / "inbox_truth.json").read_text())
    assert truth["faults"] == {"missing_flair": 1}
    assert "1 patient of site C" in result.output
    assert truth["patients"][0]["identifiers"]["FamilyName"] not in result.output


def test_the_verb_refuses_an_unknown_fault(tmp_path: Path) -> None:
    result = CliRunner().invoke(assemble(), ["phantom", str(tmp_path / "inbox"), "--fault", "motion=x"])
    assert isinstance(result.exception, BadInput)
