"""Series between which the rules of the sorting cannot decide: a reviewer does, in Airflow's Required Actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Context, Param
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.exceptions import AirflowSkipException

from konsil.cohort.folder import CohortFolder, SiteFolder
from konsil.dicom.choices import NONE, Question, open_questions, record
from konsil.settings import Settings
from konsil.types import Json
from operators.people import assigned
from operators.summary import plain

APPLY, LATER = "Apply", "Leave them aside"
MOST = 40  # questions in one form


class ChooseOperator(HITLOperator):  # type: ignore[misc]  # the provider publishes no types
    """Ask which series is the T1w or the FLAIR where several are equally good; skipped when nothing is open.

    An empty field leaves the case set aside. Who may answer are the accounts of KONSIL_REVIEWERS.

    :param cohort: name of the cohort (templated)
    """

    template_fields = ("subject", "body", "cohort")

    def __init__(self, *, cohort: str, **kwargs: Any) -> None:
        subject = f"Which series? Cohort {cohort}"
        super().__init__(subject=subject, options=[APPLY, LATER], **(kwargs | {"params": {}}))
        self.cohort = cohort

    def execute(self, context: Context) -> None:
        """Put the questions, each with what is known about its candidates."""
        asked = open_questions(self.folder())[:MOST]
        if not asked:
            raise AirflowSkipException("Every series could be told by rule; there is nothing to choose.")
        self.body = describe(asked)
        self.params = ParamsDict({name_of(question): field(question) for question in asked})
        self.assigned_users = assigned(Settings().reviewers)
        super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Json:
        """Keep the answers; the next scan obeys them."""
        answer = super().execute_complete(context, event)
        by = str(answer["responded_by_user"]["name"])
        given = answer["params_input"] if answer["chosen_options"] == [APPLY] else {}
        folder, answered = self.folder(), 0
        for question in open_questions(folder):
            if key := given.get(name_of(question)):
                record(folder, question.case, question.role, str(key), by=by)
                answered += 1
        return {"answered": answered, "left": len(open_questions(folder))}

    def folder(self) -> CohortFolder:
        """The cohort that is sorted."""
        return SiteFolder(Settings().home).cohort(self.cohort)


def name_of(question: Question) -> str:
    """The field of the form that answers a question."""
    return f"{question.case}_{question.role}"


def field(question: Question) -> Param:
    """One series among the candidates, none of them, or no answer."""
    labels = {one.key: f"{one.key}: {one.label}" for one in question.candidates}
    labels |= {NONE: "none of them", "null": "leave it aside for now"}
    return Param(
        None,
        type=["null", "string"],
        enum=[*question.keys, NONE, None],
        values_display=labels,
        title=f"{question.role} of {question.case}",
        description="Empty: the case stays set aside for now.",
    )


def describe(questions: Sequence[Question]) -> str:
    """The candidates of every question, as Markdown."""
    lines = ["The rules do not tell which series to take. Look at them in your viewer, then choose.", ""]
    for question in questions:
        lines += [f"**{question.role} of `{question.case}`** {plain(question.why)}".rstrip(), ""]
        lines += [f"- `{one.key}` {plain(one.label)}: {plain(one.facts)}" for one in question.candidates]
        lines += [""]
    lines += [f"*{NONE}* keeps the case out. At most {MOST} questions stand here; the next run asks the rest."]
    return "\n".join(lines)
