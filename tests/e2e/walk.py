"""What was seen on the whole path, and who is asked on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from konsil.demo.plan import DemoPlan
from konsil.sdk.answers import Question
from konsil.sdk.federation import Federation, Progress
from konsil.stack.accounts import passwords
from konsil.stack.places import CENTRE, read_plan
from tests.e2e.rights import Town

JOIN = "join_federation"
SIGN = "choose series, sign a cohort off"


@dataclass
class Walk:
    """What the fixture saw on its way."""

    plan: DemoPlan
    images: Path
    killed_in_round: int = -1
    accepted: str = ""
    excluded: str = ""
    summary: dict[str, Any] = field(default_factory=dict)
    rights: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    pilot: list[Progress] = field(default_factory=list)
    refused: str = ""
    asked: dict[str, int] = field(default_factory=dict)
    followed: list[Progress] = field(default_factory=list)
    dice: dict[str, Any] = field(default_factory=dict)
    left_after_down: list[int] = field(default_factory=list)


def data_scientist(plan: DemoPlan) -> Federation:
    """The centre through the SDK; a data scientist has the operator's account there."""
    (centre,) = read_plan(plan.stack).only([CENTRE])
    return Federation.connect(centre.url, "operator", passwords(centre)["operator"], home=centre.home)


def town(plan: DemoPlan, **questions: Question) -> Town:
    """The centre and site A, to be asked who may do what."""
    centre, site = read_plan(plan.stack).only([CENTRE, "A"])
    return Town(centre, site, **questions)
