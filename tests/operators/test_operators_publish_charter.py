"""What the centre's form becomes."""

from __future__ import annotations

from typing import Any

import pytest

from konsil.errors import BadSetting
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
