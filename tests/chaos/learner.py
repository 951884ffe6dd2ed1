"""The line of tests/parties as a learner that a charter can name: real arithmetic in microseconds, nothing remembered.

It takes the number of training cases from the frozen cohort and draws its rows by the name of the home. `pause_s` of
the settings lengthens every training, so that there is a middle in which a process can be killed.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from konsil.learners.protocol import Update
from tests.parties.conftest import Line, Model, Numbers


class FastLine(Line):
    """`Line`, made by the registry like any learner."""

    def __init__(self, settings: dict[str, Any], *, rounds: int, home: Path, **rest: Any) -> None:
        super().__init__(rounds)
        self.home, self.pause_s = home, float(settings.get("pause_s", 0.0))

    def rows(self, cohort: Any) -> Numbers:
        return Numbers(self.home.name, len(cohort.split("train")))

    def fingerprint(self, cohort: Any) -> dict[str, Any]:
        return super().fingerprint(self.rows(cohort))

    def train(self, cohort: Any, recipe: Any, tensors: Model, round: int) -> Update:  # noqa: A002
        time.sleep(self.pause_s)
        return super().train(self.rows(cohort), recipe, tensors, round)

    def baseline(self, cohort: Any, recipe: Any, tensors: Model) -> Model:
        return super().baseline(self.rows(cohort), recipe, tensors)

    def evaluate(self, cohort: Any, recipe: Any, tensors: Model, split: Any) -> list[Any]:
        return super().evaluate(self.rows(cohort), recipe, tensors, split)
