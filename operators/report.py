"""The step `konsil report` as an Airflow task."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Context

from konsil.cohort.folder import SiteFolder
from konsil.files import sha256_of
from konsil.settings import Settings
from konsil.types import Json
from operators.base import KonsilOperator
from operators.links import CohortLink


class ReportOperator(KonsilOperator):
    """Write one self-contained page per case and one for the cohort; remember the hash of what the reviewer will see.

    :param cohort: name of the cohort (templated)
    """

    template_fields = ("cohort",)
    operator_extra_links = (CohortLink(),)

    def __init__(self, *, cohort: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cohort = cohort

    def arguments(self) -> list[str]:
        """The verb."""
        return ["report", self.cohort]

    def execute(self, context: Context) -> Json:
        """Write the report; the result also names its SHA-256."""
        result = super().execute(context)
        page = SiteFolder(Settings().home).cohort(self.cohort).reports / "cohort.html"
        return result | {"report_sha256": sha256_of(page)}
