"""Series between which no rule decides: a reviewer is asked once, and what they leave open stays open."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.standard.operators import hitl
from airflow.sdk.exceptions import AirflowSkipException, TaskAwaitingInput

from konsil.cohort.folder import CohortFolder, SiteFolder
from konsil.dicom.choices import Candidate, Question, answers, ask, open_questions
from operators.choose import APPLY, LATER, ChooseOperator

QUESTIONS = [
    Question(
        case, "T1w", (Candidate("3-111111", "series 3 (176 images)", "3D | <b>"), Candidate("5-222222", "s 5", "3D"))
    )
    for case in ("sub-1_ses-1", "sub-2_ses-1")
]
FIELDS = ["sub-1_ses-1_T1w", "sub-2_ses-1_T1w"]


@pytest.fixture
def cohort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CohortFolder:
    monkeypatch.setenv("KONSIL_HOME", str(tmp_path))
    return SiteFolder(tmp_path).cohort("ms-1")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    question: dict[str, Any] = {}
    monkeypatch.setattr(hitl, "upsert_hitl_detail", lambda **content: question.update(content))
    return question


def step() -> ChooseOperator:
    return ChooseOperator(task_id="choose", cohort="ms-1")


def context() -> Any:
    return {"task_instance": SimpleNamespace(id="1")}


def answer(option: str, **given: str | None) -> dict[str, Any]:
    return {
        "chosen_options": [option],
        "params_input": given,
        "responded_at": datetime(2026, 11, 21, 9, tzinfo=UTC),
        "responded_by_user": {"id": "reviewer", "name": "reviewer"},
    }


def test_nothing_open_is_skipped(cohort: CohortFolder, asked: dict[str, Any]) -> None:
    with pytest.raises(AirflowSkipException, match="nothing to choose"):
        step().execute(context())
    assert asked == {}


def test_every_question_is_a_field_that_may_stay_empty(cohort: CohortFolder, asked: dict[str, Any]) -> None:
    ask(cohort, QUESTIONS)
    with pytest.raises(TaskAwaitingInput):
        step().execute(context())
    assert list(asked["params"]) == FIELDS
    schema = asked["params"][FIELDS[0]]["schema"]
    assert schema["enum"] == ["3-111111", "5-222222", "none", None]
    assert asked["params"][FIELDS[0]]["value"] is None
    assert "- `3-111111` series 3 (176 images): 3D / (b)" in asked["body"]
    assert asked["defaults"] is None
    assert {user["id"] for user in asked["assigned_users"]} == {"reviewer", "admin"}


def test_answers_are_kept_in_the_name_of_who_gave_them(cohort: CohortFolder) -> None:
    ask(cohort, QUESTIONS)
    found = step().execute_complete(context(), answer(APPLY, **{FIELDS[0]: "5-222222", FIELDS[1]: None}))
    assert found == {"answered": 1, "left": 1}
    kept = answers(cohort)["sub-1_ses-1", "T1w"]
    assert (kept.series, kept.by) == ("5-222222", "reviewer")
    assert [question.case for question in open_questions(cohort)] == ["sub-2_ses-1"]


def test_leaving_them_aside_answers_nothing(cohort: CohortFolder) -> None:
    ask(cohort, QUESTIONS)
    assert step().execute_complete(context(), answer(LATER, **{FIELDS[0]: "5-222222"})) == {"answered": 0, "left": 2}
    assert answers(cohort) == {}
