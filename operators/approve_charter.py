"""The custodian's decision, in Airflow's Required Actions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Context, Param
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.exceptions import AirflowFailException

from konsil.errors import KonsilError
from konsil.files import read_json
from konsil.settings import Settings
from konsil.types import Json
from operators.summary import plain

ACCEPT, REFUSE = "Approve", "Reject"


class ApproveCharterOperator(HITLOperator):  # type: ignore[misc]  # the provider publishes no types
    """Show what leaves the site and ask whether, and with which cohort, the site takes part.

    There is no default: silence is not consent. A refusal is an answer too and is sent to the centre.

    :param charter: result of `VerifyCharterOperator` (templated)
    """

    template_fields = ("subject", "body", "charter")

    def __init__(self, *, charter: Any, **kwargs: Any) -> None:
        super().__init__(
            subject="A federation asks this site to take part",
            options=[ACCEPT, REFUSE],
            **(kwargs | {"params": question()}),  # Airflow adds the DAG's own params to every operator
        )
        self.charter = charter

    def execute(self, context: Context) -> None:
        """Put the question."""
        self.subject = f"Take part in “{plain(self.charter['title'] or self.charter['run'])}”?"
        self.body = describe(self.charter)
        self.params = ParamsDict(question(frozen_cohorts()))
        super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Json:
        """Check that the answer can be acted on; all answers are final."""
        answer = super().execute_complete(context, event)
        given = answer["params_input"]
        accepted = answer["chosen_options"] == [ACCEPT]
        cohort, reason = (given.get("cohort") or "").strip(), (given.get("reason") or "").strip()
        if accepted and not cohort:
            raise AirflowFailException("The approval names no cohort. Clear this task to ask again.")
        if not accepted and not reason:
            raise AirflowFailException("The refusal gives no reason. Clear this task to ask again.")
        who = answer["responded_by_user"]
        return {"accepted": accepted, "cohort": cohort, "reason": reason, "by": str(who["name"])}


def question(cohorts: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The fields of the form; with `cohorts` known, the newest is proposed and the others can be chosen."""
    names = list(cohorts or ())
    offered: dict[str, Any] = {"enum": [*names, None], "values_display": {**cohorts, "null": "none"}} if cohorts else {}
    title = "Cohort that takes part (needed to approve)"
    why = "Reason (needed to reject)"
    return {
        "cohort": Param(names[0] if names else None, type=["null", "string"], title=title, **offered),
        "reason": Param(None, type=["null", "string"], format="multiline", title=why),
    }


def frozen_cohorts() -> dict[str, str]:
    """This site's frozen cohorts by name, newest first, each with what a custodian recognises it by."""
    files = Settings().home.glob("cohorts/*/cohort.json")
    newest = sorted(files, key=lambda path: path.stat().st_mtime, reverse=True)
    return {path.parent.name: f"{path.parent.name} ({told(path)})" for path in newest}


def told(path: Path) -> str:
    """`12 cases, signed by reviewer on 2026-11-21`, as far as the file says so."""
    try:
        content = read_json(path)
    except KonsilError:
        return "cannot be read"
    number = len(content.get("cases", []))
    signed = content.get("sign_off") or {}
    who = f", signed by {signed['by']} on {str(signed['at'])[:10]}" if signed else ", adopted"
    return f"{number} case{'' if number == 1 else 's'}{who}"


def describe(charter: Json) -> str:
    """The charter in the words a custodian needs, as Markdown."""
    channels = plain(", ".join(charter["data"]["channels"]))
    lines = [
        f"**Run** `{plain(charter['run'])}` with sites {plain(', '.join(charter['sites']))}:",
        f"{charter['rounds']} rounds of {plain(charter['learner'])} on {channels},",
        f"the sites' updates combined by {plain(charter['strategy'])}.",
        *([plain(charter["first_weights"])] if charter.get("first_weights") else []),
        "",
        "**What leaves this site:**",
        "",
        *(f"- {plain(sentence)}" for sentence in charter["what_leaves_the_site"]),
        "",
        "The charter is signed by the centre of this site's pass. Your answer is final and goes to the centre.",
    ]
    return "\n".join(lines)
