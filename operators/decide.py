"""Recording the custodian's decision with `konsil decide`."""

from __future__ import annotations

from typing import Any

from operators.base import KonsilOperator


class DecideOperator(KonsilOperator):
    """Record what the custodian answered; the next deed of the site sends it to the centre.

    :param run_name: name of the federation's run (templated)
    :param decision: result of `ApproveCharterOperator` (templated)
    """

    template_fields = ("run_name", "decision")

    def __init__(self, *, run_name: str, decision: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.run_name = run_name
        self.decision = decision

    def arguments(self) -> list[str]:
        """The verb with the decision, and who took it."""
        who = ["--by", self.decision["by"]]
        if self.decision["accepted"]:
            return ["decide", self.run_name, "--accept", "--cohort", self.decision["cohort"], *who]
        return ["decide", self.run_name, "--refuse", self.decision["reason"], *who]
