"""What freezing and reading promise."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from konsil.cohort.cases import Case
from konsil.cohort.folder import CohortFolder, SiteFolder
from konsil.cohort.freeze import freeze
from konsil.cohort.frozen import Decision, SignOff, read_frozen
from konsil.errors import BadInput, Missing
from konsil.files import sha256_of, write_bytes, write_json

VERDICTS = {"P1": "pass", "P2": "pass", "P3": "warn", "P4": "fail", "P5": "pass"}


@pytest.fixture
def cohort(tmp_path: Path) -> CohortFolder:
    """Five prepared cases, one of which fails the quality control and one without lesions; contents are any bytes."""
    folder = SiteFolder(tmp_path).cohort("ms-2024")
    for subject, verdict in VERDICTS.items():
        case = Case(subject, "20240101")
        for path in (
            folder.raw(case, "T1w"),
            folder.raw(case, "FLAIR"),
            folder.oriented(case, "FLAIR"),
            folder.registered(case),
        ):
            write_bytes(path, f"{path.name}".encode())
        if subject != "P5":
            write_bytes(folder.lesions(case), b"mask")
        write_json(folder.qc(case), {"verdict": verdict})
    write_bytes(folder.reports / "cohort.html", b"<html>all is well</html>")
    return folder


def signed(cohort: CohortFolder, **decisions: tuple[str, str]) -> SignOff:
    return SignOff(
        by="reviewer.a",
        at=datetime(2026, 11, 21, 9, 0, tzinfo=UTC),
        report_sha256=sha256_of(cohort.reports / "cohort.html"),
        decisions={
            f"sub-{subject}_ses-20240101": Decision(decision=word, reason=reason)  # type: ignore[arg-type]
            for subject, (word, reason) in decisions.items()
        },
    )


def test_a_frozen_cohort_reads_back_as_it_was_written(cohort: CohortFolder) -> None:
    frozen = freeze(cohort, sign_off=signed(cohort), seed=1)
    assert read_frozen(cohort.frozen) == frozen
    assert read_frozen(cohort.path) == frozen
    assert frozen.root == cohort.path
    assert frozen.channels == ["T1w", "FLAIR"]


def test_every_file_that_is_named_has_its_hash(cohort: CohortFolder) -> None:
    frozen = freeze(cohort, sign_off=signed(cohort), seed=1)
    for case in frozen.cases:
        for name, digest in case.sha256.items():
            assert sha256_of(cohort.path / name) == digest
        assert {*case.images.values()} <= case.sha256.keys()


def test_a_failed_case_stays_out_unless_it_is_accepted_with_a_reason(cohort: CohortFolder) -> None:
    assert "sub-P4_ses-20240101" in freeze(cohort, sign_off=signed(cohort), seed=1).excluded
    cohort.frozen.unlink()
    frozen = freeze(cohort, sign_off=signed(cohort, P4=("accept", "the crop is outside the brain")), seed=1)
    assert {case.case: case.verdict for case in frozen.cases}["sub-P4_ses-20240101"] == "fail"


def test_accepting_a_failed_case_without_a_reason_is_refused(cohort: CohortFolder) -> None:
    with pytest.raises(BadInput, match="accepted against the verdict fail"):
        freeze(cohort, sign_off=signed(cohort, P4=("accept", "  ")), seed=1)
    assert not cohort.frozen.exists()


def test_an_exclusion_is_recorded_with_its_reason(cohort: CohortFolder) -> None:
    frozen = freeze(cohort, sign_off=signed(cohort, P1=("exclude", "wrong disease")), seed=1)
    assert "wrong disease" in frozen.excluded["sub-P1_ses-20240101"]
    assert "P1" not in {case.subject for case in frozen.cases}


def test_an_exclusion_without_a_reason_is_no_decision() -> None:
    with pytest.raises(ValueError, match="needs a reason"):
        Decision(decision="exclude")


def test_a_decision_about_an_unknown_case_is_refused(cohort: CohortFolder) -> None:
    with pytest.raises(BadInput, match="does not have: sub-P9_ses-20240101"):
        freeze(cohort, sign_off=signed(cohort, P9=("exclude", "slip")), seed=1)


def test_a_case_set_aside_is_excluded_with_its_sentence(cohort: CohortFolder) -> None:
    cohort.set_aside(Case("P2", "20240101"), "register", "The brains do not overlap.")
    frozen = freeze(cohort, sign_off=signed(cohort), seed=1)
    assert frozen.excluded["sub-P2_ses-20240101"] == "set aside by register: The brains do not overlap."


def test_a_case_that_is_not_prepared_to_the_end_is_excluded(cohort: CohortFolder) -> None:
    cohort.registered(Case("P2", "20240101")).unlink()
    frozen = freeze(cohort, sign_off=signed(cohort), seed=1)
    assert "konsil register did not finish" in frozen.excluded["sub-P2_ses-20240101"]


def test_a_case_without_lesions_is_unlabelled(cohort: CohortFolder) -> None:
    frozen = freeze(cohort, sign_off=signed(cohort), seed=1)
    assert [case.subject for case in frozen.split("unlabelled")] == ["P5"]
    assert sorted(len(frozen.split(name)) for name in ("train", "validation", "test")) == [1, 1, 1]


def test_a_sign_off_of_another_report_is_refused(cohort: CohortFolder) -> None:
    sign_off = signed(cohort)
    write_bytes(cohort.reports / "cohort.html", b"<html>on second thoughts</html>")
    with pytest.raises(BadInput, match="has changed since it was signed off"):
        freeze(cohort, sign_off=sign_off, seed=1)


def test_without_a_report_there_is_nothing_to_sign(cohort: CohortFolder) -> None:
    sign_off = signed(cohort)
    (cohort.reports / "cohort.html").unlink()
    with pytest.raises(Missing, match="konsil report"):
        freeze(cohort, sign_off=sign_off, seed=1)


def test_freezing_the_same_again_changes_nothing(cohort: CohortFolder) -> None:
    first = freeze(cohort, sign_off=signed(cohort), seed=1)
    before = cohort.frozen.read_bytes()
    again = signed(cohort).model_copy(update={"by": "reviewer.b"})
    assert freeze(cohort, sign_off=again, seed=1) == first
    assert cohort.frozen.read_bytes() == before


def test_a_name_that_is_frozen_with_other_content_is_refused(cohort: CohortFolder) -> None:
    freeze(cohort, sign_off=signed(cohort), seed=1)
    before = cohort.frozen.read_bytes()
    with pytest.raises(BadInput, match="frozen already, with other content"):
        freeze(cohort, sign_off=signed(cohort, P1=("exclude", "late news")), seed=1)
    assert cohort.frozen.read_bytes() == before


def test_a_changed_file_is_named(cohort: CohortFolder) -> None:
    frozen = freeze(cohort, sign_off=signed(cohort), seed=1)
    name = frozen.cases[0].images["FLAIR"]
    (cohort.path / name).write_bytes(b"retouched")
    with pytest.raises(BadInput, match=f"{Path(name).name} has changed"):
        read_frozen(cohort.frozen)


def test_a_file_that_is_gone_is_named(cohort: CohortFolder) -> None:
    frozen = freeze(cohort, sign_off=signed(cohort), seed=1)
    name = frozen.cases[0].images["T1w"]
    (cohort.path / name).unlink()
    with pytest.raises(BadInput, match=f"{Path(name).name} of the frozen cohort is gone"):
        read_frozen(cohort.frozen)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda c: c.update(format="konsil-cohort/2"), "format"),
        (lambda c: c.update(surprise=1), "surprise"),
        (lambda c: c.update(sign_off=None), "needs a sign-off"),
        (lambda c: c["labels"].update(oedema=5), "without a gap"),
        (lambda c: c["cases"][0].update(label=None), "in no split"),
        (lambda c: c["cases"][0].update(subject="Q7"), "do not belong together"),
        (lambda c: c["cases"][0]["images"].update(FLAIR="../outside.nii.gz"), "stay inside"),
        (lambda c: c["cases"][0]["images"].update(FLAIR="/etc/passwd"), "stay inside"),
        (lambda c: c["cases"][0]["images"].pop("FLAIR"), "exactly the cohort's channels"),
        (lambda c: c["cases"][0]["sha256"].clear(), "no hash"),
        (lambda c: c["cases"].append(c["cases"][0]), "occurs twice"),
    ],
)
def test_a_broken_rule_is_named(cohort: CohortFolder, change: object, rule: str) -> None:
    freeze(cohort, sign_off=signed(cohort), seed=1)
    content = json.loads(cohort.frozen.read_text())
    change(content)  # type: ignore[operator]
    cohort.frozen.write_text(json.dumps(content))
    with pytest.raises(BadInput, match=rule):
        read_frozen(cohort.frozen)


def test_a_patient_in_two_splits_is_refused(cohort: CohortFolder) -> None:
    freeze(cohort, sign_off=signed(cohort), seed=1)
    content = json.loads(cohort.frozen.read_text())
    twin = json.loads(json.dumps(content["cases"][0]))
    twin["case"] = twin["case"].replace("20240101", "20250101")
    twin["split"] = "train" if twin["split"] != "train" else "test"
    content["cases"].append(twin)
    cohort.frozen.write_text(json.dumps(content))
    with pytest.raises(BadInput, match="two splits"):
        read_frozen(cohort.frozen)


def test_no_frozen_cohort_names_the_step_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="konsil freeze"):
        read_frozen(tmp_path)


def test_the_folder_is_described_as_bids(cohort: CohortFolder) -> None:
    freeze(cohort, sign_off=signed(cohort), seed=1)
    for folder in (cohort.path, cohort.derivatives):
        described = json.loads((folder / "dataset_description.json").read_text())
        assert described["GeneratedBy"][0]["Name"] == "konsil"
        assert described["BIDSVersion"]
    table = (cohort.path / "participants.tsv").read_text().splitlines()
    assert table == ["participant_id", "sub-P1", "sub-P2", "sub-P3", "sub-P4", "sub-P5"]
