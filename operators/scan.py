"""The step `konsil scan` as an Airflow task."""

from __future__ import annotations

from typing import Any

from operators.base import KonsilOperator


class ScanOperator(KonsilOperator):
    """Sort the DICOM series of the inbox into cases: which are T1w and FLAIR, which are set aside and why.

    :param cohort: name of the cohort to prepare (templated)
    :param inbox: folder with DICOM; empty means the site's own inbox (templated)
    """

    template_fields = ("cohort", "inbox")

    def __init__(self, *, cohort: str, inbox: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cohort = cohort
        self.inbox = inbox

    def arguments(self) -> list[str]:
        """The verb with the folder it reads."""
        return ["scan", *([self.inbox] if self.inbox else []), "--cohort", self.cohort]
