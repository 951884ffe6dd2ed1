"""`konsil doctor` as an Airflow task."""

from __future__ import annotations

from airflow.sdk.exceptions import AirflowFailException

from konsil.types import Json
from operators.base import KonsilOperator


class DoctorOperator(KonsilOperator):
    """Check what this place needs; what is bad fails the task in words, and trying again would not help."""

    def arguments(self) -> list[str]:
        """The verb."""
        return ["doctor"]

    def judge(self, code: int, sentence: str, result: Json) -> Json:
        """Bad findings are an answer, not an accident."""
        if code == 1 and result:
            raise AirflowFailException(sentence)
        return super().judge(code, sentence, result)
