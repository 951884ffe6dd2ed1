"""What a party can be told to do next, and in which phase of a federation that falls.

A step is a plain value: `next_step` (rounds.py) chooses it, a party (konsil.parties) does it. `Wait`, `Finish` and
`Abort` are steps too, with a sentence for the person who looks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, TypeAlias


class Role(StrEnum):
    """Who asks."""

    CENTRE = "centre"
    SITE = "site"


class Phase(StrEnum):
    """The parts of a federation, in their order."""

    CHARTER = "charter"
    ANSWERS = "answers"
    RECIPE = "recipe"
    PREPARE = "prepare"
    ROUNDS = "rounds"
    EVALUATION = "evaluation"
    RELEASE = "release"

    def is_after(self, other: Phase) -> bool:
        """Whether this phase comes later than `other`."""
        order = list(Phase)
        return order.index(self) > order.index(other)


@dataclass(frozen=True)
class PublishCharter:
    """Centre: post the charter."""

    phase: ClassVar[Phase] = Phase.CHARTER


@dataclass(frozen=True)
class MakeRecipe:
    """Centre: merge the fingerprints of `sites` into one plan, post it and the first weights."""

    sites: tuple[str, ...]
    phase: ClassVar[Phase] = Phase.RECIPE


@dataclass(frozen=True)
class OfUpdates:
    """What the centre does with the updates of `sites` in `round`, in charter order.

    `missing` did not answer in time; `refused` answered with something that cannot be averaged (site → reason);
    `gone` is out for good (site → "left", "excluded" or "revoked").
    """

    round: int
    sites: tuple[str, ...]
    missing: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    gone: Mapping[str, str] = field(default_factory=dict)
    phase: ClassVar[Phase] = Phase.ROUNDS


@dataclass(frozen=True)
class CallRoll(OfUpdates):
    """Centre: add up the masked updates and ask everybody to open the sum."""


@dataclass(frozen=True)
class Aggregate(OfUpdates):
    """Centre: make the global model of the round."""


@dataclass(frozen=True)
class PublishBaselines:
    """Centre: pass the local models of `sites` on to every site."""

    sites: tuple[str, ...]
    phase: ClassVar[Phase] = Phase.EVALUATION


@dataclass(frozen=True)
class Release:
    """Centre: say which model is the final one. `missing` sent no evaluation."""

    missing: tuple[str, ...] = ()
    phase: ClassVar[Phase] = Phase.RELEASE


@dataclass(frozen=True)
class Answer:
    """Site: tell the centre what the custodian decided."""

    phase: ClassVar[Phase] = Phase.ANSWERS


@dataclass(frozen=True)
class SendFingerprint:
    """Site: post the statistics of the training cases."""

    phase: ClassVar[Phase] = Phase.RECIPE


@dataclass(frozen=True)
class Prepare:
    """Site: preprocess the cohort with the common plan."""

    phase: ClassVar[Phase] = Phase.PREPARE


@dataclass(frozen=True)
class Train:
    """Site: start from the global model before `round`, train, post the update."""

    round: int
    phase: ClassVar[Phase] = Phase.ROUNDS


@dataclass(frozen=True)
class Reveal:
    """Site: help to open the sum of `round`."""

    round: int
    phase: ClassVar[Phase] = Phase.ROUNDS


@dataclass(frozen=True)
class TrainBaseline:
    """Site: train alone from the first weights, for as long as the federation did, and post the model."""

    phase: ClassVar[Phase] = Phase.EVALUATION


@dataclass(frozen=True)
class Evaluate:
    """Site: test every model on the held-out cases and post the scores."""

    phase: ClassVar[Phase] = Phase.EVALUATION


@dataclass(frozen=True)
class StoreModel:
    """Both: keep the final model where `predict` finds it; the centre also writes the report."""

    phase: ClassVar[Phase] = Phase.RELEASE


@dataclass(frozen=True)
class Wait:
    """Nothing to do until something arrives, at the latest until `until` (None: no deadline of ours)."""

    phase: Phase
    why: str
    until: datetime | None = None
    round: int | None = None


@dataclass(frozen=True)
class Finish:
    """Nothing more to do, ever."""

    why: str
    phase: ClassVar[Phase] = Phase.RELEASE


@dataclass(frozen=True)
class Abort:
    """The run cannot go on. `announced`: everybody has been told."""

    why: str
    announced: bool = False
    phase: ClassVar[Phase] = Phase.RELEASE


CentreDeed: TypeAlias = PublishCharter | MakeRecipe | CallRoll | Aggregate | PublishBaselines | Release | StoreModel
SiteDeed: TypeAlias = Answer | SendFingerprint | Prepare | Train | Reveal | TrainBaseline | Evaluate | StoreModel
Step: TypeAlias = CentreDeed | SiteDeed | Wait | Finish | Abort
