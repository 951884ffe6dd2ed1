"""Whose turn it is in a run, and until when it is waited: a step in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from konsil.federation.holdings import Holdings
from konsil.federation.slot import Kind
from konsil.federation.steps import (
    Abort,
    Aggregate,
    Answer,
    CallRoll,
    Evaluate,
    Finish,
    MakeRecipe,
    Phase,
    Prepare,
    PublishBaselines,
    PublishCharter,
    Release,
    Reveal,
    SendFingerprint,
    Step,
    StoreModel,
    Train,
    TrainBaseline,
    Wait,
)
from konsil.parties.party import Party
from konsil.trust.roster import CENTRE
from konsil.types import Json

DEEDS: dict[type, Callable[[Any], str]] = {
    PublishCharter: lambda step: "publish the charter",
    MakeRecipe: lambda step: f"make one plan for {', '.join(step.sites)}",
    CallRoll: lambda step: f"add up the masked updates of round {step.round}",
    Aggregate: lambda step: f"average the updates of round {step.round} ({', '.join(step.sites)})",
    PublishBaselines: lambda step: "pass the local models on",
    Release: lambda step: "release the model",
    StoreModel: lambda step: "store the model and the report",
    Answer: lambda step: "send the custodian's answer",
    SendFingerprint: lambda step: "send the fingerprint",
    Prepare: lambda step: "prepare the cohort",
    Train: lambda step: f"train round {step.round}",
    Reveal: lambda step: f"help to open the sum of round {step.round}",
    TrainBaseline: lambda step: "train the local model",
    Evaluate: lambda step: "test the models",
}


def turn(party: Party, holdings: Holdings, step: Step) -> Json:
    """`doing`: a sentence; `until`: ISO 8601, UTC, or None where nobody here knows."""
    if isinstance(step, Finish | Abort):
        return {"doing": step.why, "until": None}
    if not isinstance(step, Wait):
        who = "the centre's" if party.mailbox.me == CENTRE else "this site's"
        return {"doing": f"It is {who} turn: {DEEDS[type(step)](step)}.", "until": None}
    return {"doing": f"Waiting {step.why.removesuffix(' (konsil decide)')}.", "until": _until(party, holdings, step)}


def _until(party: Party, holdings: Holdings, step: Wait) -> str | None:
    """The rules' own moment at the centre; at a site, what the charter says outright."""
    if step.until is not None:
        return step.until.isoformat(timespec="seconds")
    course, charter = party.going, holdings.note(Kind.charter)
    if party.mailbox.me == CENTRE or party.held or course.paused or course.aborted or charter is None:
        return None
    if step.phase is Phase.ANSWERS:
        return course.after(charter.at, party.rules.deadlines.answer_s).isoformat(timespec="seconds")
    limit, before = party.rules.deadlines.round_s, holdings.note(Kind.global_, round=(step.round or 0) - 1)
    if step.phase is not Phase.ROUNDS or limit is None or before is None or step.round is None:
        return None
    opened = course.opened(step.round, before.at)
    limit += party.rules.deadlines.prepare_s if step.round == 1 else 0
    return course.after(opened, limit).isoformat(timespec="seconds")
