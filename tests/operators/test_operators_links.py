"""A button leads to a page that is there, and there is none before."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from operators.approve_charter import ApproveCharterOperator
from operators.decide import DecideOperator
from operators.explain import explain
from operators.freeze import FreezeOperator
from operators.predict import PredictOperator
from operators.publish_charter import PublishCharterOperator
from operators.report import ReportOperator
from operators.run_phase import RunPhaseOperator
from operators.sign_off import SignOffOperator
from operators.take_part import TakePartOperator
from operators.verify_charter import VerifyCharterOperator

REPORTS = "cohorts/ms/derivatives/konsil/reports"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KONSIL_HOME", str(tmp_path))
    return tmp_path


def links(operator: Any) -> dict[str, str]:
    """The buttons of a task that lead somewhere, without the address of this instance."""
    found = {link.name: link.get_link(operator, ti_key=None) for link in operator.operator_extra_links}
    return {name: re.sub(r"^.*(?=/konsil/)", "", address) for name, address in found.items() if address}


def test_the_tasks_of_a_cohort_lead_to_its_report_once_it_is_written(home: Path) -> None:
    tasks = [
        ReportOperator(task_id="a", cohort="ms"),
        SignOffOperator(task_id="b", cohort="ms", report={}),
        FreezeOperator(task_id="c", cohort="ms", sign_off={}),
    ]
    assert [links(task) for task in tasks] == [{}, {}, {}]
    write(home / REPORTS / "cohort.html")
    assert [links(task) for task in tasks] == [{"Quality report": "/konsil/quality/ms/cohort.html"}] * 3


def test_predicting_leads_to_the_lesions_that_this_model_found(home: Path) -> None:
    task = PredictOperator(task_id="a", cohort="ms", model="ms-lesions-1")
    write(home / REPORTS / "lesions-another.html")
    assert links(task) == {}
    write(home / REPORTS / "lesions-mslesions1.html")
    assert links(task) == {"Lesion report": "/konsil/quality/ms/lesions-mslesions1.html"}


def test_the_tasks_of_a_federation_lead_to_the_run_and_at_its_end_to_the_report(home: Path) -> None:
    tasks = [
        TakePartOperator(task_id="a", run_name="one", until="rounds"),
        RunPhaseOperator(task_id="b", run_name="one", until="release"),
        PublishCharterOperator(task_id="c", run_name="one", form={}),
    ]
    assert [links(task) for task in tasks] == [{}, {}, {}]
    (home / "runs" / "one").mkdir(parents=True)
    now = {"Federation": "/konsil/federation/one/now.html"}
    assert [links(task) for task in tasks] == [now] * 3
    write(home / "runs" / "one" / "report.html")
    assert [links(task) for task in tasks] == [now | {"Federation report": "/konsil/federation/one/report.html"}] * 3


def test_the_tasks_of_a_decision_lead_to_the_charter(home: Path) -> None:
    tasks = [
        VerifyCharterOperator(task_id="a", run_name="one"),
        ApproveCharterOperator(task_id="b", charter={"run": "one"}),
        DecideOperator(task_id="c", run_name="one", decision={}),
    ]
    assert [links(task) for task in tasks] == [{}, {}, {}]
    (home / "runs" / "one").mkdir(parents=True)
    assert [links(task) for task in tasks] == [{"Charter": "/konsil/governance/one/charter.html"}] * 3


@pytest.mark.parametrize("name", [None, "", "None"])
def test_a_task_without_a_run_has_no_button(home: Path, name: Any) -> None:
    (home / "runs").mkdir()
    assert links(TakePartOperator(task_id="a", run_name=name, until="rounds")) == {}
    assert links(VerifyCharterOperator(task_id="b", run_name=name)) == {}
    assert links(ApproveCharterOperator(task_id="c", charter="{{ not rendered }}")) == {}


def test_each_button_of_a_task_is_kept_under_a_name_of_its_own() -> None:
    kept = [link.xcom_key for link in TakePartOperator.operator_extra_links]
    assert len(set(kept)) == len(kept) == 2


def test_every_task_is_explained_and_nothing_else() -> None:
    task, mapped = SimpleNamespace(doc_md=None), SimpleNamespace(partial_kwargs={})
    dag = SimpleNamespace(dag_id="it", task_dict={"one": task, "many": mapped})
    explain(dag, {"one": "Does one.", "many": "Does many."})
    assert (task.doc_md, mapped.partial_kwargs) == ("Does one.", {"doc_md": "Does many."})
    for words in ({"one": "Does one."}, {"one": "", "many": "", "gone": ""}):
        with pytest.raises(KeyError, match=r"it: .*(many|gone)"):
            explain(dag, words)


def write(path: Path) -> None:
    """An empty page."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
