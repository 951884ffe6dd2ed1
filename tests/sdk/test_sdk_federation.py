"""The data scientist's verbs: Airflow answers as in test_sdk_airflow, the run behind it is real arithmetic."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from konsil.cli.app import assemble
from konsil.errors import BadInput, BadSetting, KonsilError, Missing
from konsil.files import write_json
from konsil.sdk.airflow import AirflowClient
from konsil.sdk.federation import Federation
from konsil.trust.roster import CENTRE
from tests.parties.conftest import Enrolled, make_enrolled

__all__ = ["make_enrolled"]  # a fixture


class Said(AirflowClient):
    """An Airflow that says what it is told to."""

    def __init__(self, *states: str) -> None:
        super().__init__("http://nowhere", "operator", "secret")
        self.states, self.asked = list(states), []  # type: ignore[var-annotated]
        self.started = [{"dag_run_id": "lines-1", "conf": {}}]

    def login(self) -> None:
        self.asked.append(("login", None))

    def call(self, method: str, path: str, content: Any = None) -> Any:
        self.asked.append((f"{method} {path}", content))
        if method == "POST":
            return {"dag_run_id": content["dag_run_id"]}
        if "?" in path:
            return {"dag_runs": self.started}
        return {"state": self.states.pop(0) if len(self.states) > 1 else self.states[0]}


@pytest.fixture
def world(make_enrolled: Callable[..., Enrolled]) -> Enrolled:
    return make_enrolled()


def test_a_proposal_is_checked_and_publishes_nothing() -> None:
    client = Said("running")
    with pytest.raises(BadSetting, match="rounds"):
        Federation(client).propose({"run": "ms-1", "sites": ["A", "B"], "rounds": 0})
    assert client.asked == []


@pytest.mark.parametrize(
    ("strategy", "sent", "settings"),
    [("fedavg", "fedavg", None), ({"name": "fedavg", "clip_norm": 5}, "fedavg", {"clip_norm": 5.0})],
)
def test_a_launch_fills_in_the_form_and_names_the_run(strategy: Any, sent: str, settings: Any) -> None:
    client = Said("running")
    centre = Federation(client)
    charter = centre.propose({"run": "ms-1", "sites": ["A", "B"], "strategy": strategy})
    assert centre.launch(charter) == "ms-1"
    ((path, content),) = client.asked
    assert path == "POST dags/run_federation/dagRuns"
    assert content["conf"]["strategy"] == sent
    assert content["conf"].get("strategy_settings") == settings
    assert (content["conf"]["run"], content["conf"]["sites"]) == ("ms-1", ["A", "B"])


def test_progress_is_told_round_by_round_to_the_end(world: Enrolled) -> None:
    centre = Federation(Said("running", "running", "success"), world.home(CENTRE))
    lines, told = [], centre.follow("lines-1", poll_s=0)
    lines.append(str(next(told)))
    world.work()
    lines += [str(one) for one in told]
    assert lines[0] == "running: round 0 of 0"
    assert lines[1].startswith("running: round 3 of 3, dice 0.")
    assert lines[-1].startswith("success: round 3 of 3")


def test_a_run_that_the_operators_form_started_is_found_by_the_federations_name() -> None:
    client = Said("running")
    client.started = [
        {"dag_run_id": "manual__3", "conf": {"run": "ms-2"}},
        {"dag_run_id": "manual__2", "conf": {"run": "ms-2"}},
        {"dag_run_id": "manual__1", "conf": {"run": "ms-1"}},
    ]
    for run, dag_run in (("ms-1", "manual__1"), ("ms-2", "manual__3"), ("ms-3", "ms-3")):
        Federation(client).progress(run)
        assert client.asked[-1][0] == f"GET dags/run_federation/dagRuns/{dag_run}"


def test_a_run_that_comes_later_is_found_by_the_same_object() -> None:
    client = Said("running", "running")
    client.started = []
    centre = Federation(client)
    centre.progress("ms-1")
    client.started = [{"dag_run_id": "manual__1", "conf": {"run": "ms-1"}}]
    centre.progress("ms-1")
    assert client.asked[-1][0] == "GET dags/run_federation/dagRuns/manual__1"


def test_results_are_tables_and_a_figure(world: Enrolled) -> None:
    world.work()
    found = Federation(Said("success"), world.home(CENTRE)).results("lines-1")
    assert list(found.dice.columns) == ["A", "B", "C"]
    assert list(found.dice.index) == ["federated", "A alone", "B alone", "C alone"]
    assert found.dice.loc["federated", "A"] == found.summary["dice"]["federated"]["A"]
    assert len(found.rounds) == 9
    assert {"round", "site", "cases", "loss", "dice"} <= set(found.rounds.columns)
    assert len(found.figure("loss").axes[0].lines) == 3
    with pytest.raises(BadInput, match="expected dice or loss; got speed"):
        found.figure("speed")


def test_cancelling_ends_the_run_at_every_site(world: Enrolled) -> None:
    world.work_until(lambda: world.newest() == 1)
    centre = Federation(Said("running"), world.home(CENTRE))
    with pytest.raises(KonsilError):
        centre.cancel("lines-1", why="")
    centre.cancel("lines-1", why="wrong cohort")
    last = world.work()
    assert "wrong cohort" in last["A"].why  # type: ignore[union-attr]


def test_without_a_home_only_airflow_can_be_asked() -> None:
    with pytest.raises(Missing, match="home was not given"):
        Federation(Said("running")).results("lines-1")


def test_the_verbs_say_json(world: Enrolled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = CliRunner()
    monkeypatch.setenv("KONSIL_HOME", str(world.home(CENTRE)))
    write_json(tmp_path / "charter.json", {"run": "ms-1", "sites": ["A", "B"]})
    shown = run.invoke(assemble(), ["federation", "propose", str(tmp_path / "charter.json"), "--json"])
    assert json.loads(shown.stdout)["charter"]["rounds"] == 50
    nowhere = run.invoke(assemble(), ["federation", "follow", "ms-1"])
    assert isinstance(nowhere.exception, BadSetting)
    world.work()
    monkeypatch.setenv("KONSIL_AIRFLOW_URL", "http://nowhere")
    monkeypatch.setenv("KONSIL_AIRFLOW_PASSWORD", "secret")
    monkeypatch.setattr("konsil.sdk.federation.AirflowClient", lambda *_: Said("failed"))
    shown = run.invoke(assemble(), ["federation", "follow", "lines-1", "--json"])
    assert (shown.exit_code, json.loads(shown.stdout)["round"]) == (1, 3)
    shown = run.invoke(assemble(), ["federation", "results", "lines-1", "--json"])
    assert json.loads(shown.stdout)["outcome"] == "released"
