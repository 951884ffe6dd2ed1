"""Charters that arrived together: Airflow merges their events into one DAG run, and each needs its own."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException

from operators.dag_run import DagRunOperator


class OthersOperator(DagRunOperator):
    """Start a DAG run for the next charter of `names`, which starts the one after it; skip when there is none.

    :param names: runs that still need a DAG run (templated)
    """

    template_fields = ("names", "trigger_dag_id")

    def __init__(
        self, *, names: Any = "{{ ti.xcom_pull(task_ids='verify_charter')['others'] }}", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.names = names

    def execute(self, context: Context) -> None:
        """Start the first of the others and hand the rest on to it."""
        names = [str(name) for name in self.names or ()]
        if not names:
            raise AirflowSkipException("No other charter arrived with this one.")
        self.start(f"{names[0]}__charter", {"run": names[0], "others": names[1:]})
