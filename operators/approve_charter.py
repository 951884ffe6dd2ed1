"""The custodian's decision, in Airflow's Required Actions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Context, Param
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.exceptions import AirflowFailException

from konsil.cohort.shelf import frozen_cohorts
from konsil.errors import KonsilError
from konsil.federation.policy import read_bound
from konsil.settings import Settings
from konsil.types import Json
from operators.links import CharterLink
from operators.people import assigned
from operators.summary import plain

DAYS = 90
ACCEPT, STANDING, REFUSE = "Approve", "Approve as standing policy", "Refuse"
RULE = "this site's rule that learners are reviewed"


class ApproveCharterOperator(HITLOperator):  # type: ignore[misc]  # the provider publishes no types
    """Show what leaves the site and ask whether, and with which cohort, the site takes part.

    There is no default: silence is not consent. A refusal is an answer too and is sent to the centre. Where a standing
    policy covers the charter, nobody is asked; nor where the learner lacks a review that this site needs
    (KONSIL_REVIEWED_ONLY) and nothing here could change that: it is refused with that reason. Who may answer are the
    accounts of KONSIL_CUSTODIANS.

    :param charter: result of `VerifyCharterOperator` (templated)
    """

    template_fields = ("subject", "body", "charter")
    operator_extra_links = (CharterLink(),)

    def __init__(self, *, charter: Any, **kwargs: Any) -> None:
        super().__init__(
            subject="A federation asks this site to take part",
            options=[ACCEPT, STANDING, REFUSE],
            **(kwargs | {"params": question()}),  # Airflow adds the DAG's own params to every operator
        )
        self.charter = charter

    def execute(self, context: Context) -> Json | None:
        """Put the question, unless it is answered already: by a standing policy, or by a decision that stands."""
        known = self.charter.get("decision")
        if known and not self.charter.get("void"):
            return {"settled": True, "accepted": known["accepted"]}
        review = self.charter["review"]
        if review["refusal"] and review["lasting"]:
            self.log.info("%s Nobody is asked.", review["refusal"])
            return {"accepted": False, "reason": review["refusal"], "by": RULE}
        if self.charter.get("policy") and not review["refusal"]:
            self.log.info("The standing policy %s covers this charter.", self.charter["policy"])
            return {"policy": self.charter["policy"]}
        self.subject = f"Take part in “{plain(self.charter['title'] or self.charter['run'])}”?"
        self.body = describe(self.charter)
        self.params = ParamsDict(question(frozen_cohorts(Settings().home), review["refusal"]))
        self.assigned_users = assigned(Settings().custodians)
        super().execute(context)
        return None

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Json:
        """Check that the answer can be acted on; all answers are final."""
        answer = super().execute_complete(context, event)
        given, chosen = answer["params_input"], answer["chosen_options"]
        accepted = chosen != [REFUSE]
        cohort, reason = (given.get("cohort") or "").strip(), (given.get("reason") or "").strip()
        if accepted and not cohort:
            raise AirflowFailException("The approval names no cohort. Clear this task to ask again.")
        if not accepted and not reason:
            raise AirflowFailException("The refusal gives no reason. Clear this task to ask again.")
        decision = {"accepted": accepted, "cohort": cohort, "reason": reason}
        if chosen == [STANDING]:
            decision |= {"days": int(given.get("days") or DAYS), "bounds": lines_of(given.get("bounds"))}
        return {**decision, "by": str(answer["responded_by_user"]["name"])}


def lines_of(text: str | None) -> list[str]:
    """The bounds of a standing policy, one per line; AirflowFailException for one that cannot be read."""
    found = [line.strip() for line in (text or "").splitlines() if line.strip()]
    try:
        for line in found:
            read_bound(line)
    except KonsilError as error:
        raise AirflowFailException(f"{error.sentence} Clear this task to ask again.") from error
    return found


def question(cohorts: Mapping[str, str] | None = None, refusal: str = "") -> dict[str, Any]:
    """The fields of the form; with `cohorts` known, the newest is proposed and the others can be chosen.

    `refusal`: the reason that is proposed for one. No field has a section: Airflow 3.3 puts the whole charter before
    every section of a question.
    """
    names = list(cohorts or ())
    offered: dict[str, Any] = {"enum": [*names, None], "values_display": {**cohorts, "null": "none"}} if cohorts else {}
    title = "Cohort that takes part (needed to approve)"
    why = "Reason (needed to refuse; the centre reads it)"
    return {
        "cohort": Param(names[0] if names else None, type=["null", "string"], title=title, **offered),
        "reason": Param(refusal or None, type=["null", "string"], format="multiline", title=why),
        "days": Param(
            DAYS,
            type="integer",
            minimum=1,
            maximum=1000,
            title="Days until a standing policy expires",
        ),
        "bounds": Param(
            None,
            type=["null", "string"],
            format="multiline",
            title="Other bounds of a standing policy",
            description="One per line, such as rounds=1..100. Empty: as many rounds as here, and nothing else changed.",
        ),
    }


def describe(charter: Json) -> str:
    """The charter in the words a custodian needs, as Markdown."""
    review = charter["review"]
    lines = [
        *table(*what_is_asked(charter)),
        *(listed("Why it cannot be approved as it is", [review["refusal"]]) if review["refusal"] else []),
        *(listed("An earlier approval does not count any more", [charter["void"]]) if charter["void"] else []),
        *(listed("Why the standing policies do not answer it", charter["outside"]) if charter["outside"] else []),
        *listed("What leaves this site", charter["what_leaves_the_site"]),
        *listed("Privacy", charter["privacy"]),
        *listed("Bounds", charter["bounds"]),
        *settings_told(charter.get("settings") or ()),
        "",
        "**Approve as standing policy**: charters like this one are accepted without asking again, with the same "
        "learner, cohort and sites, until it expires or is revoked (`konsil policy revoke`).",
        "",
        "The centre has signed the charter. Your answer is final, signed with this site's key, and goes to it.",
    ]
    return "\n".join(lines)


def what_is_asked(charter: Json) -> list[tuple[str, str]]:
    """Who asks for what, as rows of a table."""
    data = charter["data"]
    images = f"{', '.join(data['channels'])}; labels {', '.join(data['labels'])}. You choose the cohort below."
    rows = [
        ("who asks", f"{plain(charter['asked_by'])}, for the run `{plain(charter['run'])}`"),
        ("sites", plain(", ".join(charter["sites"]))),
        ("learner", plain(charter["learner_words"])),
        ("review", plain(charter["review"]["words"])),
        ("images", plain(images)),
        ("strategy", plain(charter["strategy"])),
        ("first weights", plain(charter.get("first_weights") or "")),
    ]
    return [(f"**{name}**", told) for name, told in rows if told]


def settings_told(rows: Sequence[Sequence[str]]) -> list[str]:
    """What the charter sets of the learner; the rest is as its author has it."""
    if not rows:
        return listed("Settings of the learner", ["Its defaults."])
    return table(*((plain(name), plain(told)) for name, told in rows), head=("setting of the learner", "value"))


def table(*rows: tuple[str, str], head: tuple[str, str] = ("", "")) -> list[str]:
    """A Markdown table of two columns whose cells are plain."""
    return ["", f"| {head[0]} | {head[1]} |", "|---|---|", *(f"| {name} | {told} |" for name, told in rows), ""]


def listed(title: str, sentences: Iterable[str]) -> list[str]:
    """A bold line and its list."""
    return ["", f"**{title}:**", "", *(f"- {plain(sentence)}" for sentence in sentences)]
