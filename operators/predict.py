"""The step `konsil predict` as an Airflow task."""

from __future__ import annotations

import re
from typing import Any

from konsil.errors import BadInput
from konsil.settings import Settings
from operators.base import KonsilOperator

MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9-]{2,40}")


class PredictOperator(KonsilOperator):
    """Draw lesion masks for a cohort with a model that this site stored.

    :param cohort: name of the cohort (templated)
    :param model: name of the federation whose final model is used (templated)
    """

    template_fields = ("cohort", "model")

    def __init__(self, *, cohort: str, model: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cohort = cohort
        self.model = model

    def arguments(self) -> list[str]:
        """The verb with the model's folder."""
        if not MODEL_NAME.fullmatch(self.model):
            raise BadInput(
                "this cannot be the name of a model", expected="the name of a federation", got=repr(self.model)
            )
        return ["predict", self.cohort, "--model", str(Settings().home / "models" / self.model)]
