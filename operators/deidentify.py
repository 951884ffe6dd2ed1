"""The step `konsil deidentify` as an Airflow task."""

from __future__ import annotations

from typing import Any

from operators.base import KonsilOperator, listed
from operators.scan import inbox_of


class DeidentifyOperator(KonsilOperator):
    """Copy the series of a batch without identifiers: keyed pseudonyms, shifted dates.

    :param cohort: name of the cohort (templated)
    :param cases: the cases of one batch; none means all (templated)
    :param inbox: the folder that was scanned; empty means the site's own inbox (templated)
    """

    template_fields = ("cohort", "cases", "inbox")

    def __init__(self, *, cohort: str, cases: list[str] | None = None, inbox: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cohort = cohort
        self.cases = cases
        self.inbox = inbox

    def arguments(self) -> list[str]:
        """The verb with its cases."""
        return ["deidentify", inbox_of(self.inbox), self.cohort, *listed(self.cases)]
