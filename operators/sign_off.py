"""The reviewer's signature under a cohort, in Airflow's Required Actions."""

from __future__ import annotations

from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Context, Param
from airflow.sdk.exceptions import AirflowSkipException

from konsil.cohort.folder import CohortFolder, SiteFolder
from konsil.quality.review import split_reviews
from konsil.settings import Settings
from konsil.types import Json
from operators.decisions import read_decisions, with_reviews
from operators.links import CohortLink
from operators.people import assigned
from operators.summary import cohort_markdown, reviews_markdown

PER_LINE = "One case per line with its reason, such as `sub-01_ses-01: motion`. This wins over the tab *Quality*."
HOW = """The pages are under the tab *Quality*, cohort `{cohort}`: what you accept or exclude there before you press
*Approve* counts. Without a decision, *pass* and *warn* are in and *fail* stays out. *Reject* ends this and freezes
nothing."""


class SignOffOperator(ApprovalOperator):  # type: ignore[misc]  # the provider publishes no types
    """Show the verdicts and ask for a signature; a rejection ends the DAG run without a frozen cohort.

    Who may answer are the accounts of KONSIL_REVIEWERS.

    :param cohort: name of the cohort (templated)
    :param report: result of `ReportOperator`: the signature names the report by its hash (templated)
    """

    template_fields = ("subject", "body", "cohort", "report")
    operator_extra_links = (CohortLink(),)

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
        """Put the question with the table of verdicts and what was decided in the tab so far."""
        folder = self.folder()
        if not folder.cases():
            raise AirflowSkipException("No case came through; there is nothing to sign. The report says why.")
        standing, outdated = split_reviews(folder)
        parts = [HOW.format(cohort=self.cohort), reviews_markdown(standing, outdated), cohort_markdown(folder)]
        self.body = "\n\n".join(part for part in parts if part)
        self.assigned_users = assigned(Settings().reviewers)
        super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Json:
        """The signature: who, when, under which report, with which decisions. Rejection skips what follows."""
        answer = super().execute_complete(context, event)
        given = answer["params_input"]
        folder = self.folder()
        known = [*(str(case) for case in folder.cases()), *folder.set_aside_cases()]
        by, at = str(answer["responded_by_user"]["name"]), answer["responded_at"].isoformat()
        typed = read_decisions(given.get("exclude"), given.get("accept"), given.get("comment"), known)
        standing, outdated = split_reviews(folder)
        for name in sorted(outdated):
            self.log.warning("%s: its decision is of an older page and is not used", name)
        kept = {name: review for name, review in standing.items() if name in known}
        decisions = with_reviews(typed, kept, by=by, at=at)
        return {"by": by, "at": at, "report_sha256": self.report["report_sha256"], "decisions": decisions}

    def folder(self) -> CohortFolder:
        """The cohort that is signed."""
        return SiteFolder(Settings().home).cohort(self.cohort)
