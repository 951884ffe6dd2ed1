"""The signature: asked of those who may, with what was decided in the tab, and never with what is outdated."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.standard.operators import hitl
from airflow.sdk.exceptions import AirflowSkipException, TaskAwaitingInput

from konsil.cohort.cases import Case
from konsil.cohort.folder import CohortFolder, SiteFolder
from konsil.cohort.frozen import SignOff
from konsil.errors import BadInput
from konsil.files import write_bytes, write_json
from konsil.quality.pages import SEEN
from konsil.quality.review import Opinion, record
from operators.sign_off import SignOffOperator

ONE, TWO, THREE = Case("1", "1"), Case("2", "1"), Case("3", "1")
SEEN_NOW = "a" * 64


@pytest.fixture
def cohort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CohortFolder:
    monkeypatch.setenv("KONSIL_HOME", str(tmp_path))
    folder = SiteFolder(tmp_path).cohort("ms-1")
    for case in (ONE, TWO, THREE):
        write_bytes(folder.raw(case, "T1w"), b"image")
        write_json(folder.qc(case), {"verdict": "pass", "reasons": []})
        write_bytes(folder.report(case), f'{SEEN}{SEEN_NOW}">'.encode())
    return folder


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What Airflow would show under Required Actions."""
    question: dict[str, Any] = {}
    monkeypatch.setattr(hitl, "upsert_hitl_detail", lambda **content: question.update(content))
    return question


def step() -> SignOffOperator:
    return SignOffOperator(task_id="sign_off", cohort="ms-1", report={"report_sha256": "c" * 64})


def context() -> Any:
    return {"task_instance": SimpleNamespace(id="1")}


def keep(folder: CohortFolder, case: Case, decision: str, note: str) -> None:
    opinion = Opinion.model_validate({"decision": decision, "note": note})
    record(folder, case, opinion, by="dr-novak", at=datetime(2026, 11, 20, tzinfo=UTC), seen=SEEN_NOW)


def answer(**given: str | None) -> dict[str, Any]:
    return {
        "chosen_options": ["Approve"],
        "params_input": {"exclude": None, "accept": None, "comment": None, **given},
        "responded_at": datetime(2026, 11, 21, 9, tzinfo=UTC),
        "responded_by_user": {"id": "reviewer", "name": "reviewer"},
    }


def test_the_question_shows_verdicts_and_decisions_and_goes_to_reviewers(
    cohort: CohortFolder, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KONSIL_REVIEWERS", "dr-weber,dr-novak")
    keep(cohort, ONE, "exclude", "motion")
    with pytest.raises(TaskAwaitingInput):
        step().execute(context())
    assert "3 cases: 3 pass" in asked["body"]
    assert "`sub-1_ses-1` **exclude**: motion" in asked["body"]
    assert [user["id"] for user in asked["assigned_users"]] == ["dr-weber", "dr-novak"]
    assert asked["defaults"] is None, "silence is not consent"


def test_the_signature_holds_what_stands_in_the_tab_when_it_is_given(cohort: CohortFolder) -> None:
    keep(cohort, ONE, "exclude", "motion")
    keep(cohort, TWO, "exclude", "noise")
    keep(cohort, THREE, "exclude", "crop")
    write_bytes(cohort.report(THREE), f'{SEEN}{"b" * 64}">'.encode())
    signed = step().execute_complete(context(), answer(accept="sub-2_ses-1: looked again"))
    decisions = SignOff.model_validate(signed).decisions
    assert {name: (one.decision, one.by) for name, one in decisions.items()} == {
        "sub-1_ses-1": ("exclude", "dr-novak"),
        "sub-2_ses-1": ("accept", "reviewer"),
    }
    assert signed["report_sha256"] == "c" * 64


def test_a_review_of_a_case_that_is_gone_is_left_out(cohort: CohortFolder) -> None:
    keep(cohort, ONE, "exclude", "motion")
    cohort.raw(ONE, "T1w").unlink()
    assert step().execute_complete(context(), answer())["decisions"] == {}


def test_a_slip_of_the_pen_is_refused(cohort: CohortFolder) -> None:
    with pytest.raises(BadInput, match="does not have; got sub-9"):
        step().execute_complete(context(), answer(exclude="sub-9_ses-1: x"))


def test_where_no_case_came_through_nobody_is_asked(
    tmp_path: Path, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KONSIL_HOME", str(tmp_path))
    with pytest.raises(AirflowSkipException, match="nothing to sign"):
        step().execute(context())
    assert asked == {}
