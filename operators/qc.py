"""The step `konsil qc` as an Airflow task."""

from __future__ import annotations

from typing import Any

from operators.base import KonsilOperator, listed


class QcOperator(KonsilOperator):
    """Measure the quality of a batch and give a verdict; the reviewer decides, not the verdict.

    :param cohort: name of the cohort (templated)
    :param cases: the cases of one batch; none means all (templated)
    :param limits: ms-paper, wide, phantom-2mm or a TOML file (templated)
    """

    template_fields = ("cohort", "cases", "limits")

    def __init__(self, *, cohort: str, cases: list[str] | None = None, limits: str = "ms-paper", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cohort = cohort
        self.cases = cases
        self.limits = limits

    def arguments(self) -> list[str]:
        """The verb with its cases."""
        return ["qc", self.cohort, "--limits", self.limits, *listed(self.cases)]
