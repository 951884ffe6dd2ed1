"""What the centre's form becomes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from konsil.errors import BadSetting, Missing
from konsil.files import write_bytes
from operators.publish_charter import PublishCharterOperator

FORM: dict[str, Any] = {"run": "run-1", "sites": ["A", "B", "C"], "title": None, "patience_s": 3}


def charter_of(**fields: Any) -> Any:
    return PublishCharterOperator(task_id="m", run_name="run-1", form={**FORM, **fields}).charter()


@pytest.mark.parametrize("settings", [{}, None])
def test_a_strategy_without_parameters_is_the_charters_default(settings: Any) -> None:
    assert charter_of(strategy="fedavg", strategy_settings=settings).strategy == "fedavg"
    assert charter_of(strategy="fedadam", strategy_settings=settings).rule.model_dump()["beta_1"] == 0.9


def test_parameters_go_to_the_strategy_that_was_chosen() -> None:
    rule = charter_of(strategy="fedadam", strategy_settings={"name": "krum", "clip_norm": 2, "tau": 0.01}).rule
    assert (rule.name, rule.clip_norm, rule.model_dump()["tau"]) == ("fedadam", 2, 0.01)


def test_parameters_of_another_strategy_are_refused_in_words() -> None:
    with pytest.raises(BadSetting, match=r"strategy\.median.momentum is not usable"):
        charter_of(strategy="median", strategy_settings={"momentum": 0.9})


def test_no_sites_means_all_that_have_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    joined = type("Joined", (), {"sites": {"B": None, "A": None}})
    monkeypatch.setattr("operators.publish_charter.Roster.load", lambda home: joined)
    assert charter_of(sites=None).sites == charter_of(sites=[]).sites == ("B", "A")


def test_a_chosen_model_brings_its_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KONSIL_HOME", str(tmp_path))
    write_bytes(tmp_path / "models" / "ms-1" / "model.safetensors", b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    start = charter_of(start_model="ms-1", start={"new_channels": "mean"}).start
    assert (start.model, start.sha256, start.new_channels) == ("ms-1", digest, "mean")
    assert charter_of(start_model=None, start=None).start is None
    with pytest.raises(Missing, match="There is no model ms-9 here to start from"):
        charter_of(start_model="ms-9")
    with pytest.raises(BadSetting, match=r"start\.model is not usable"):
        charter_of(start={"new_channels": "mean"})
