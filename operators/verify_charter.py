"""The first step of a site: which charter came, and is it really the centre's?"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException

from konsil.types import Json
from operators.base import KonsilOperator
from operators.links import CharterLink


class VerifyCharterOperator(KonsilOperator):
    """Read the charter of a run, checked against the centre's key, for the custodian to decide on.

    The run's name is typed into the form or comes from the inbox watcher. When several charters arrived at once, the
    DAG run takes the first; the others get a DAG run each (`others` in the result).

    :param run_name: name typed into the form; empty when the inbox watcher started the DAG (templated)
    """

    template_fields = ("run_name",)
    operator_extra_links = (CharterLink(),)

    def __init__(self, *, run_name: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.run_name = run_name

    def arguments(self) -> list[str]:
        """The verb; without a decision it tells what is proposed."""
        return ["decide", self.run_name]

    def execute(self, context: Context) -> Json:
        """Find the run, read its charter; the result names the run."""
        runs = announced(context)
        if self.run_name not in (None, "", "None"):
            runs = [self.run_name, *(context["params"].get("others") or ())]
        if not runs:
            raise AirflowSkipException("No charter was named and none arrived.")
        self.run_name = runs[0]
        return super().execute(context) | {"run": runs[0], "others": runs[1:]}


def announced(context: Context) -> list[str]:
    """Runs named by the events that started this DAG run, in their order, each once."""
    events = context.get("triggering_asset_events") or {}
    found = [event.extra.get("payload", {}).get("run") for each in events.values() for event in each]
    return list(dict.fromkeys(str(run) for run in found if run))
