"""The last step of `prepare_cohort`: the signed cohort becomes unchangeable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.sdk import Context

from konsil.cohort.folder import SiteFolder
from konsil.files import write_json
from konsil.settings import Settings
from konsil.types import Json
from operators.base import KonsilOperator
from operators.links import CohortLink


class FreezeOperator(KonsilOperator):
    """Write the sign-off file and freeze the cohort with a split by patient.

    :param cohort: name of the cohort (templated)
    :param sign_off: result of `SignOffOperator` (templated)
    :param seed: seed of the split (templated)
    :param validation_share: share of the patients for validation, 0 to 1 (templated)
    :param test_share: share of the patients for the test, 0 to 1 (templated); the others train
    """

    template_fields = ("cohort", "sign_off", "seed", "validation_share", "test_share")
    operator_extra_links = (CohortLink(),)

    def __init__(
        self,
        *,
        cohort: str,
        sign_off: Any,
        seed: Any = 0,
        validation_share: Any = 0.2,
        test_share: Any = 0.2,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.cohort = cohort
        self.sign_off = sign_off
        self.seed = seed
        self.validation_share = validation_share
        self.test_share = test_share

    def path(self) -> Path:
        """Where the signature is kept."""
        return SiteFolder(Settings().home).cohort(self.cohort).work / "sign_off.json"

    def arguments(self) -> list[str]:
        """The verb with the signature and the split."""
        signed = ["freeze", self.cohort, "--sign-off", str(self.path()), "--seed", str(self.seed)]
        return [*signed, "--split", *(f"{share:.6g}" for share in self.fractions())]

    def fractions(self) -> tuple[float, float, float]:
        """Shares of the patients for training, validation and test; they sum to 1."""
        validation, test = float(self.validation_share), float(self.test_share)
        return 1.0 - validation - test, validation, test

    def execute(self, context: Context) -> Json:
        """Write the signature, then run the verb."""
        write_json(self.path(), dict(self.sign_off))
        return super().execute(context)
