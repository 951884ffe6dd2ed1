"""The step `konsil convert` as an Airflow task."""

from __future__ import annotations

from typing import Any

from konsil.cohort.folder import SiteFolder
from konsil.settings import Settings
from operators.base import KonsilOperator, listed


class ConvertOperator(KonsilOperator):
    """Turn the DICOM of a batch into BIDS with dcm2niix and check the geometry.

    :param cohort: name of the cohort (templated)
    :param cases: the cases of one batch; none means all (templated)
    """

    template_fields = ("cohort", "cases")

    def __init__(self, *, cohort: str, cases: list[str] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cohort = cohort
        self.cases = cases

    def arguments(self) -> list[str]:
        """The verb with the folder of de-identified series and its cases."""
        dicom = SiteFolder(Settings().home).cohort(self.cohort).work / "dicom"
        return ["convert", str(dicom), self.cohort, *listed(self.cases)]
