"""Start a DAG run under a name of its own, once.

Airflow's `TriggerDagRunOperator` does the same, but importing it brings in Airflow's database models: half a second for
every DAG file that names it. In Airflow 3 it only raises the exception raised here; the task runner does the rest.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseOperator, BaseOperatorLink
from airflow.sdk.exceptions import DagRunTriggerException
from airflow.sdk.types import TaskInstanceKey

LONGEST_NOTE = 1000  # characters, the width of Airflow's column


class DagRunLink(BaseOperatorLink):
    """The button at a task that leads to the DAG run it started."""

    name = "Started DAG run"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Address of the DAG run; empty when the task started none."""
        from airflow.utils.helpers import build_airflow_dagrun_url  # database models, not for the DAG file

        started = getattr(operator, "started", None)
        return str(build_airflow_dagrun_url(dag_id=operator.trigger_dag_id, run_id=started)) if started else ""


class DagRunOperator(BaseOperator):
    """Base of the operators that start a DAG run; a subclass says in `execute` which, through `start`.

    :param trigger_dag_id: the DAG to run (templated)
    """

    template_fields: tuple[str, ...] = ("trigger_dag_id",)
    ui_color = "#ffefeb"
    operator_extra_links = (DagRunLink(),)

    def __init__(self, *, trigger_dag_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.trigger_dag_id = trigger_dag_id
        self.started: str | None = None

    def start(self, run_id: str, conf: dict[str, Any], *, note: str = "") -> None:
        """Have the task runner start `run_id` with `conf`; the task is skipped where that run exists already.

        `note`: what Airflow shows beside the run. A run can be given one only from outside (decision 035).

        :raises DagRunTriggerException: always; this is how a task asks for it
        """
        self.started = run_id
        raise DagRunTriggerException(
            trigger_dag_id=self.trigger_dag_id,
            dag_run_id=run_id,
            conf=conf,
            reset_dag_run=False,
            skip_when_already_exists=True,
            wait_for_completion=False,
            allowed_states=[],
            failed_states=[],
            poke_interval=60,
            deferrable=False,
            note=note[:LONGEST_NOTE] or None,
        )
