"""The reviewer's signature under a cohort, in Airflow's Required Actions."""

from __future__ import annotations

from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Context, Param

from konsil.cohort.folder import SiteFolder
from konsil.settings import Settings
from konsil.types import Json
from operators.decisions import read_decisions
from operators.summary import cohort_markdown

PER_LINE = "One case per line with its reason, such as `sub-01_ses-01: motion`."


class SignOffOperator(ApprovalOperator):  # type: ignore[misc]  # the provider publishes no types
    """Show the verdicts and ask for a signature; a rejection ends the DAG run without a frozen cohort.

    :param cohort: name of the cohort (templated)
    :param report: result of `ReportOperator`: the signature names the report by its hash (templated)
    """

    template_fields = ("subject", "body", "cohort", "report")

    def __init__(self, *, cohort: str, report: Any, **kwargs: Any) -> None:
        text: dict[str, Any] = {"type": ["null", "string"], "format": "multiline"}
        params = {
            "exclude": Param(None, title="Exclude", description_md=PER_LINE, **text),
            "accept": Param(None, title="Accept although the verdict is fail", description_md=PER_LINE, **text),
            "comment": Param(None, title="Comment", description="Also the reason of lines without one.", **text),
        }
        kwargs["params"] = params  # Airflow adds the DAG's own params to every operator
        super().__init__(subject=f"Sign off cohort {cohort}", **kwargs)
        self.cohort = cohort
        self.report = report

    def execute(self, context: Context) -> None:
        """Put the question with the table of verdicts."""
        folder = SiteFolder(Settings().home).cohort(self.cohort)
        page = f"The whole report is under the tab *Quality*, cohort `{self.cohort}`."
        self.body = f"{cohort_markdown(folder)}\n\n{page}\nCases with verdict *fail* stay out unless you accept them."
        super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Json:
        """The signature: who, when, under which report, with which decisions. Rejection skips what follows."""
        answer = super().execute_complete(context, event)
        given = answer["params_input"]
        folder = SiteFolder(Settings().home).cohort(self.cohort)
        known = [*(str(case) for case in folder.cases()), *folder.set_aside_cases()]
        return {
            "by": str(answer["responded_by_user"]["name"]),
            "at": answer["responded_at"].isoformat(),
            "report_sha256": self.report["report_sha256"],
            "decisions": read_decisions(given.get("exclude"), given.get("accept"), given.get("comment"), known),
        }
