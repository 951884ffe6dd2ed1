"""The step `konsil predict` as an Airflow task."""

from __future__ import annotations

from typing import Any

from operators.base import KonsilOperator


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
        """The verb."""
        return ["predict", self.cohort, "--model", self.model]
