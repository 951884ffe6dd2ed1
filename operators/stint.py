"""Rounds run in stints: wait, work, and hand over to the next stint if the others were slower than our patience."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException

from operators.dag_run import DagRunOperator


class StintOperator(DagRunOperator):
    """Start stint number `number` of a run, as a DAG run of `trigger_dag_id` that is started once only.

    :param run_name: name of the federation's run (templated)
    :param number: number of the stint to start (templated)
    :param patience_s: seconds each stint waits warm; empty means the place's own setting (templated)
    :param after: the round that an extension follows; 0 for the charter's own rounds (templated)
    :param until: the phase whose end is also that of the stints: rounds, or release in an extension (templated)
    :param state: how the stint before ended; anything but `waiting` starts nothing (templated)
    :param said: the same in a sentence; becomes the note of the new run (templated)
    """

    template_fields = ("run_name", "number", "patience_s", "after", "until", "state", "said", "trigger_dag_id")

    def __init__(
        self,
        *,
        run_name: str,
        number: Any,
        patience_s: Any = None,
        after: Any = 0,
        until: str = "rounds",
        state: Any = "waiting",
        said: Any = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.run_name = run_name
        self.number = number
        self.patience_s = patience_s
        self.after = after
        self.until = until
        self.state = state
        self.said = said

    def execute(self, context: Context) -> None:
        """Start the next stint, or skip: the rounds are over."""
        if self.state != "waiting":
            raise AirflowSkipException(f"The rounds of {self.run_name} are over.")
        number, after = int(self.number), int(self.after)
        patience = None if self.patience_s in (None, "", "None") else float(self.patience_s)
        stretch = f"{self.run_name}__after_{after:04d}" if after else self.run_name
        conf = {"run": self.run_name, "stint": number, "patience_s": patience, "after": after, "until": self.until}
        note = f"Before this stint: {self.said}" if self.said else ""
        self.start(f"{stretch}__stint_{number:04d}", conf, note=note)
