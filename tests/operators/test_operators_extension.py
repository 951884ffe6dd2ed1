"""An extension that was announced becomes the first of its stints, at the centre and at a site."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException, DagRunTriggerException

from operators import extension
from operators.extension import ExtensionsOperator
from operators.stint import StintOperator


def context(*payloads: dict[str, Any]) -> Any:
    events = [SimpleNamespace(extra={"payload": payload}) for payload in payloads]
    return {"triggering_asset_events": {"konsil_extensions": events}}


@pytest.mark.parametrize(("me", "dag_id"), [("centre", "aggregate_rounds"), ("A", "train_rounds")])
def test_merged_events_give_a_row_each(me: str, dag_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extension, "membership", lambda home: SimpleNamespace(me=me))
    said = [{"run": "one", "after": 3}, {"run": "two", "after": 5}, {"run": "one", "after": 3}]
    rows = ExtensionsOperator(task_id="extensions").execute(context(*said))
    assert rows == [
        {"run_name": "one", "after": 3, "trigger_dag_id": dag_id},
        {"run_name": "two", "after": 5, "trigger_dag_id": dag_id},
    ]


def test_without_a_word_nothing_begins() -> None:
    with pytest.raises(AirflowSkipException):
        ExtensionsOperator(task_id="extensions").execute(context())


def test_stints_of_an_extension_have_names_of_their_own() -> None:
    asked: list[DagRunTriggerException] = []
    for after, until in ((0, "rounds"), ("5", "release")):
        stint = StintOperator(
            task_id="stint", trigger_dag_id="train_rounds", run_name="one", number="1", after=after, until=until
        )
        with pytest.raises(DagRunTriggerException) as raised:
            stint.execute({})
        asked.append(raised.value)
    assert [one.dag_run_id for one in asked] == ["one__stint_0001", "one__after_0005__stint_0001"]
    assert asked[1].conf == {"run": "one", "stint": 1, "patience_s": None, "after": 5, "until": "release"}
    assert all(one.skip_when_already_exists and one.trigger_dag_id == "train_rounds" for one in asked)


def test_a_stint_that_started_links_to_its_run() -> None:
    stint = StintOperator(task_id="stint", trigger_dag_id="train_rounds", run_name="one", number="1")
    (link,) = stint.operator_extra_links
    assert link.get_link(stint, ti_key=None) == ""
    with pytest.raises(DagRunTriggerException):
        stint.execute({})
    assert link.get_link(stint, ti_key=None).endswith("/dags/train_rounds/runs/one__stint_0001")


@pytest.mark.parametrize(("said", "note"), [("Waiting for C.", "Before this stint: Waiting for C."), ("", None)])
def test_the_note_of_a_stint_says_how_the_one_before_it_ended(said: str, note: str | None) -> None:
    stint = StintOperator(task_id="stint", trigger_dag_id="train_rounds", run_name="one", number="2", said=said)
    with pytest.raises(DagRunTriggerException) as raised:
        stint.execute({})
    assert raised.value.note == note


def test_a_note_fits_into_airflows_column() -> None:
    stint = StintOperator(task_id="stint", trigger_dag_id="train_rounds", run_name="one", number="2", said="x" * 2000)
    with pytest.raises(DagRunTriggerException) as raised:
        stint.execute({})
    assert len(raised.value.note) == 1000
