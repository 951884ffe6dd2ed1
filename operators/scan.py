"""The step `konsil scan` as an Airflow task."""

from __future__ import annotations

from typing import Any

from konsil.cohort.folder import SiteFolder
from konsil.settings import Settings
from operators.base import KonsilOperator


class ScanOperator(KonsilOperator):
    """Sort the DICOM series of the inbox into cases: which are T1w and FLAIR, which are set aside and why.

    :param cohort: name of the cohort to prepare (templated)
    :param inbox: folder with DICOM; empty means the site's own inbox (templated)
    """

    template_fields = ("cohort", "inbox")

    def __init__(self, *, cohort: str, inbox: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cohort = cohort
        self.inbox = inbox

    def arguments(self) -> list[str]:
        """The verb with the folder it reads."""
        return ["scan", inbox_of(self.inbox), "--cohort", self.cohort]


def inbox_of(inbox: str | None) -> str:
    """The folder that was named, else the site's own inbox."""
    named = inbox not in (None, "", "None")
    return str(inbox) if named else str(SiteFolder(Settings().home).inbox)
