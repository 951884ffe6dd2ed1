"""Each operator says exactly the command a person would type; the command line knows every verb and option."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowRescheduleException, AirflowSkipException
from click import Context
from typer.main import get_command

from konsil.cli.app import assemble
from konsil.errors import BadInput
from operators.base import KonsilOperator
from operators.batches import BatchOperator
from operators.convert import ConvertOperator
from operators.decide import DecideOperator
from operators.deidentify import DeidentifyOperator
from operators.export_model import ExportModelOperator
from operators.freeze import FreezeOperator
from operators.mask import MaskOperator
from operators.orient import OrientOperator
from operators.predict import PredictOperator
from operators.publish_charter import PublishCharterOperator
from operators.qc import QcOperator
from operators.register import RegisterOperator
from operators.report import ReportOperator
from operators.run_phase import RunPhaseOperator
from operators.scan import ScanOperator
from operators.stint import StintOperator
from operators.take_part import TakePartOperator
from operators.verify_charter import VerifyCharterOperator

YES = {"accepted": True, "cohort": "ms", "reason": "", "by": "custodian"}
NO = {"accepted": False, "cohort": "", "reason": "no vote yet", "by": "custodian"}


def steps() -> list[KonsilOperator]:
    batch: dict[str, Any] = {"cohort": "ms", "cases": ["sub-1_ses-1"]}
    return [
        ScanOperator(task_id="a", cohort="ms", inbox="/in"),
        DeidentifyOperator(task_id="b", inbox=None, **batch),
        ConvertOperator(task_id="c", **batch),
        OrientOperator(task_id="d", **batch),
        MaskOperator(task_id="e", **batch),
        QcOperator(task_id="f", limits="wide", **batch),
        RegisterOperator(task_id="g", **batch),
        ReportOperator(task_id="h", cohort="ms"),
        FreezeOperator(task_id="i", cohort="ms", sign_off={}, seed=3),
        PredictOperator(task_id="j", cohort="ms", model="run-1"),
        ExportModelOperator(task_id="j2", model="run-1", which="best"),
        TakePartOperator(task_id="k", run_name="run-1", until="rounds", patience_s=2.5),
        RunPhaseOperator(task_id="l", run_name="run-1", until="release"),
        PublishCharterOperator(task_id="m", run_name="run-1", form={}),
        DecideOperator(task_id="n", run_name="run-1", decision=YES),
        DecideOperator(task_id="o", run_name="run-1", decision=NO),
        VerifyCharterOperator(task_id="p", run_name="run-1"),
    ]


@pytest.mark.parametrize("step", steps(), ids=lambda step: f"{step.task_id}-{type(step).__name__}")
def test_the_command_line_takes_it(step: KonsilOperator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KONSIL_HOME", str(tmp_path))
    (tmp_path / "models" / "run-1").mkdir(parents=True)
    verb, *rest = [*step.arguments(), "--result", str(tmp_path / "result.json")]
    group: Any = get_command(assemble())
    command = group.get_command(Context(group), verb)
    assert command is not None, f"there is no konsil {verb}"
    command.make_context(verb, rest)


def test_an_empty_inbox_field_means_the_sites_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KONSIL_HOME", str(tmp_path))
    assert ScanOperator(task_id="a", cohort="ms").arguments()[1] == str(tmp_path / "inbox")


def test_patience_is_the_places_own_unless_it_is_given() -> None:
    assert TakePartOperator(task_id="a", run_name="r", until="rounds", patience_s=None).limits() == [
        "--until",
        "rounds",
    ]
    assert TakePartOperator(task_id="b", run_name="r", until="rounds", patience_s=0).limits()[-1] == "0"


def test_an_aborted_run_is_not_tried_again() -> None:
    step = TakePartOperator(task_id="a", run_name="r", until="rounds")
    with pytest.raises(AirflowFailException, match="below the quorum"):
        step.judge(1, "", {"state": "aborted", "sentence": "Round 2 stayed below the quorum"})


def test_a_task_whose_deed_may_not_be_done_comes_back_and_a_stint_hands_over() -> None:
    held = {"state": "waiting", "sentence": "Waiting for the store, which does not answer.", "held": True}
    with pytest.raises(AirflowRescheduleException) as later:
        TakePartOperator(task_id="a", run_name="r", until="recipe").judge(0, "", held)
    assert 10 < (later.value.reschedule_date - datetime.now(UTC)).total_seconds() < 60
    with pytest.raises(AirflowRescheduleException):
        RunPhaseOperator(task_id="b", run_name="r", until="release", last=True).judge(0, "", held)
    stint = TakePartOperator(task_id="c", run_name="r", until="rounds", last=True, stint=True)
    assert stint.judge(0, "", held) == held
    others = {**held, "held": False}
    assert TakePartOperator(task_id="d", run_name="r", until="recipe").judge(0, "", others) == others


def test_a_run_that_is_over_skips_the_rest_but_for_the_last_task() -> None:
    over = {"state": "finished", "sentence": "This site refused the charter"}
    with pytest.raises(AirflowSkipException, match="refused"):
        TakePartOperator(task_id="a", run_name="r", until="recipe").judge(0, "", over)
    assert TakePartOperator(task_id="b", run_name="r", until="release", last=True).judge(0, "", over) == over


def test_a_model_is_named_and_not_pointed_at() -> None:
    with pytest.raises(BadInput):
        PredictOperator(task_id="a", cohort="ms", model="../../elsewhere").arguments()
    with pytest.raises(BadInput):
        PredictOperator(task_id="a", cohort="ms", model="run-1", which="..").arguments()


def test_the_best_round_is_taken_where_it_is_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KONSIL_HOME", str(tmp_path))
    step = PredictOperator(task_id="a", cohort="ms", model="run-1", which="best")
    assert step.arguments()[-1] == str(tmp_path / "models" / "run-1")  # the result is the best
    (tmp_path / "models" / "run-1" / "best").mkdir(parents=True)
    assert step.arguments()[-1] == str(tmp_path / "models" / "run-1" / "best")


def test_a_model_is_exported_only_when_somebody_asked() -> None:
    assert ExportModelOperator(task_id="a", model="run-1").arguments()[0] == "export-model"
    with pytest.raises(AirflowSkipException):
        ExportModelOperator(task_id="a", model="run-1", wanted="False").arguments()


def test_no_stint_follows_when_the_rounds_are_over() -> None:
    step = StintOperator(task_id="a", trigger_dag_id="train_rounds", run_name="r", number=2, state="done")
    with pytest.raises(AirflowSkipException):
        step.execute({})


def test_batches_keep_the_order() -> None:
    step = BatchOperator(task_id="a", cases=["a", "b", "c"], size="2")
    assert step.execute({}) == [["a", "b"], ["c"]]


def test_the_split_of_the_form_reaches_the_verb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KONSIL_HOME", str(tmp_path))
    step = FreezeOperator(task_id="a", cohort="ms", sign_off={}, validation_share=0.15, test_share="0.3")
    assert step.arguments()[-4:] == ["--split", "0.55", "0.15", "0.3"]
