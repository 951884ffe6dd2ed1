"""Charters that arrived together: Airflow merges their events into one DAG run, and each needs its own."""

from __future__ import annotations

from typing import Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException


class OthersOperator(TriggerDagRunOperator):  # type: ignore[misc]  # the provider publishes no types
    """Start a DAG run for the next charter of `names`, which starts the one after it; skip when there is none.

    :param names: runs that still need a DAG run (templated)
    """

    template_fields = ("names", "trigger_dag_id", "skip_when_already_exists")

    def __init__(
        self, *, names: Any = "{{ ti.xcom_pull(task_ids='verify_charter')['others'] }}", **kwargs: Any
    ) -> None:
        super().__init__(logical_date=None, skip_when_already_exists=True, **kwargs)
        self.names = names

    def execute(self, context: Context) -> None:
        """Start the first of the others and hand the rest on to it."""
        names = [str(name) for name in self.names or ()]
        if not names:
            raise AirflowSkipException("No other charter arrived with this one.")
        self.trigger_run_id = f"{names[0]}__charter"
        self.conf = {"run": names[0], "others": names[1:]}
        super().execute(context)
