"""Exit codes become Airflow's states, and the verb runs apart from Airflow."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from konsil.files import write_json
from konsil.settings import Settings
from operators.base import KonsilOperator, die_with_parent, listed, result_file, verb_environment
from operators.take_part import TakePartOperator


class Verb(KonsilOperator):
    """A step whose command the test chooses."""

    def __init__(self, *, words: list[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.words = words

    def arguments(self) -> list[str]:
        return self.words


def verb(*words: str) -> Verb:
    return Verb(task_id="step", words=list(words))


def test_a_real_verb_runs_and_the_log_begins_with_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KONSIL_HOME", str(tmp_path))
    with pytest.raises(AirflowException, match="0 cases came through"):
        verb("orient", "nothing-here").execute({})
    lines = [line for line in capsys.readouterr().out.splitlines() if "outside of the Task Runner" not in line]
    assert f"KONSIL_HOME={tmp_path} {sys.executable} -m konsil.cli orient nothing-here" in lines[0]
    assert any("0 cases came through" in line for line in lines[1:])


def test_what_a_killed_try_left_is_neither_used_nor_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KONSIL_HOME", str(tmp_path))
    context: Any = {"ti": SimpleNamespace(dag_id="d", run_id="r", task_id="step", map_index=-1)}
    left = result_file(context)
    write_json(left, {"done": ["a"]})
    with pytest.raises(AirflowException, match="0 cases came through"):
        verb("orient", "nothing-here").execute(context)
    assert not list(left.parent.iterdir())
    context["ti"].map_index = 0
    assert result_file(context) != left


@pytest.mark.parametrize(
    ("code", "result"), [(0, {}), (0, {"done": ["a"]}), (2, {"done": ["a"], "set_aside": {"b": "x"}})]
)
def test_success_hands_on_the_result(code: int, result: dict[str, Any]) -> None:
    assert verb().judge(code, "", result) == result


def test_a_wrong_usage_is_no_success_though_its_code_is_two() -> None:
    with pytest.raises(AirflowException, match="No such option"):
        verb().judge(2, "No such option: --x", {})


def test_a_batch_of_which_nothing_is_left_is_skipped() -> None:
    with pytest.raises(AirflowSkipException):
        verb().judge(1, "", {"done": [], "set_aside": {"b": "x"}})


def test_a_failure_tells_the_verbs_own_sentence() -> None:
    with pytest.raises(AirflowException, match="the disk is full"):
        verb().judge(1, "the disk is full", {})


def test_bad_input_is_not_tried_again_and_what_may_pass_is() -> None:
    with pytest.raises(AirflowFailException, match="no such cohort"):
        verb().judge(1, "no such cohort", {})
    for code, sentence in ((75, "the store does not answer"), (-9, ""), (1, "")):
        with pytest.raises(AirflowException) as caught:
            verb().judge(code, sentence, {})
        assert not isinstance(caught.value, AirflowFailException)


def test_a_party_is_tried_again_because_others_may_be_late() -> None:
    party = TakePartOperator(task_id="step", run_name="ms-1", until="recipe")
    with pytest.raises(AirflowException) as caught:
        party.judge(1, "The recipe has not arrived", {})
    assert not isinstance(caught.value, AirflowFailException)


def test_a_killed_verb_is_named_as_such() -> None:
    with pytest.raises(AirflowException, match="SIGKILL"):
        verb().judge(-9, "", {})


def test_airflows_settings_do_not_reach_the_verb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "poison")
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "poison")
    monkeypatch.setenv("KONSIL_HOME", "/somewhere")
    found = verb_environment(Settings(threads=2))
    assert not [name for name in found if "AIRFLOW" in name]
    assert found["KONSIL_HOME"] == "/somewhere"
    assert found["OMP_NUM_THREADS"] == "2"
    assert found["KONSIL_TRY_LATER"] == "75"


def test_killing_the_task_kills_what_the_verb_started(monkeypatch: pytest.MonkeyPatch) -> None:
    step = verb()
    grandchild = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    child = subprocess.Popen([sys.executable, "-c", grandchild], start_new_session=True)
    step._child = child
    time.sleep(0.3)
    step.on_kill()
    assert child.wait(10) == -9


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_the_verb_dies_with_a_task_that_vanishes(tmp_path: Path) -> None:
    import psutil

    parent = (
        "import os, subprocess, sys; from operators.base import die_with_parent;"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], preexec_fn=die_with_parent());"
        "print(child.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    end = subprocess.run([sys.executable, "-c", parent], capture_output=True, text=True, check=False)
    assert end.returncode == -9
    pid = int(end.stdout)
    gone, _ = psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=10)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE or gone
    assert die_with_parent() is not None


def test_cases_become_options() -> None:
    assert listed(["a", "b"]) == ["--case", "a", "--case", "b"]
    assert listed(None) == []
