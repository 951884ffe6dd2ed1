"""Recording the custodian's decision with `konsil decide`."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Context

from konsil.types import Json
from operators.base import KonsilOperator
from operators.links import CharterLink


class DecideOperator(KonsilOperator):
    """Record what the custodian answered; the next deed of the site sends it to the centre.

    :param run_name: name of the federation's run (templated)
    :param decision: result of `ApproveCharterOperator` (templated)
    """

    template_fields = ("run_name", "decision")
    operator_extra_links = (CharterLink(),)

    def __init__(self, *, run_name: str, decision: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.run_name = run_name
        self.decision = decision

    def execute(self, context: Context) -> Json:
        """Record it, unless a decision that stands was found."""
        if self.decision.get("settled"):
            self.log.info("The decision taken before stands.")
            return dict(self.decision)
        return super().execute(context)

    def arguments(self) -> list[str]:
        """The verb with the decision, and who took it."""
        given = self.decision
        if given.get("policy"):
            return ["decide", self.run_name, "--by-policy"]
        if not given["accepted"]:
            return ["decide", self.run_name, "--refuse", given["reason"], "--by", given["by"]]
        words = ["decide", self.run_name, "--accept", "--cohort", given["cohort"], "--by", given["by"]]
        if "days" in given:
            words += ["--standing", "--days", str(given["days"])]
        return words + [word for bound in given.get("bounds", ()) for word in ("--bound", bound)]
