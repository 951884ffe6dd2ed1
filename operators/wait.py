"""Waiting that costs no worker: the task starts in the triggerer and ends there.

Airflow 3.3 fails tasks that defer and resume quickly (upstream issues 71580 and 72716: 9 of 60 in our trial, none of 60
with `start_from_trigger`), so nothing of ours defers after it has worked.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.triggers.base import StartTriggerArgs


class WaitOperator(BaseOperator):
    """Succeed as soon as the party at this place has something to do in a federation.

    :param run_name: name of the federation's run (templated)
    :param phase: wait until the next deed belongs to this phase or a later one; empty means any deed
    :param poll_s: pause between two looks into the bucket just after something happened; it grows in quiet times
    :param patience: fail after this time; none means wait for ever
    """

    template_fields = ("run_name",)
    ui_color = "#f6f1e3"
    start_from_trigger = True

    def __init__(
        self,
        *,
        run_name: str,
        phase: str = "",
        poll_s: float = 0.5,
        patience: timedelta | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.run_name = run_name
        self.phase = phase
        self.poll_s = poll_s
        self.start_trigger_args = StartTriggerArgs(
            trigger_cls="operators.triggers.ReadyTrigger",
            next_method="execute",
            trigger_kwargs={"run_name": run_name, "phase": phase, "poll_s": poll_s},
            next_kwargs=None,
            timeout=patience,
        )

    def execute(self, context: Context, event: Any = None) -> None:
        """Not reached in a running Airflow: the trigger ends the task (`dag.test()` comes here)."""
        self.log.info("%s: nothing more to wait for", self.run_name)
