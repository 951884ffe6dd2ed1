"""Where a message of a run lies: each kind has one place per sender (and round), so it can be found without an index.

    kind         sender  place below <run>/             in the bucket of
    charter      centre  charter                        centre (`global`)
    answer       site    answers/<site>                 the site
    fingerprint  site    fingerprints/<site>            the site
    recipe       centre  recipe                         centre
    global       centre  rounds/<round>/global          centre      round 0000 = the first weights
    update       site    rounds/<round>/updates/<site>  the site
    roll         centre  rounds/<round>/roll            centre      which updates are summed (secure aggregation)
    reveal       site    rounds/<round>/reveals/<site>  the site    shares that open the sum (secure aggregation)
    baseline     site    baselines/<site>               the site
    baselines    centre  baselines                      centre
    evaluation   site    evaluation/[<round>/]<site>    the site
    final        centre  final[/<round>]                centre      /<round>: after an extension from that round
    control      centre  control/<number>               centre      what the operator said, numbered from 1
    leave        site    leaves/<site>                  the site

A round or number is written with four digits. See docs/formats/federation.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from konsil.errors import BadInput, BadMessage
from konsil.trust.roster import CENTRE


class Kind(StrEnum):
    """What a message is about."""

    charter = "charter"
    answer = "answer"
    fingerprint = "fingerprint"
    recipe = "recipe"
    global_ = "global"
    update = "update"
    roll = "roll"
    reveal = "reveal"
    baseline = "baseline"
    baselines = "baselines"
    evaluation = "evaluation"
    final = "final"
    control = "control"
    leave = "leave"


PLACES: dict[Kind, str] = {
    Kind.charter: "charter",
    Kind.answer: "answers/{site}",
    Kind.fingerprint: "fingerprints/{site}",
    Kind.recipe: "recipe",
    Kind.global_: "rounds/{round}/global",
    Kind.update: "rounds/{round}/updates/{site}",
    Kind.roll: "rounds/{round}/roll",
    Kind.reveal: "rounds/{round}/reveals/{site}",
    Kind.baseline: "baselines/{site}",
    Kind.baselines: "baselines",
    Kind.evaluation: "evaluation/{round}/{site}",
    Kind.final: "final/{round}",
    Kind.control: "control/{round}",
    Kind.leave: "leaves/{site}",
}
WITHOUT_ROUND: dict[Kind, str] = {Kind.evaluation: "evaluation/{site}", Kind.final: "final"}
"""Where a message lies that may have a round and has none."""
LAST_ROUND = 9999


@dataclass(frozen=True)
class Slot:
    """The one place of a message: `sender` is "centre" or a site's name; `round` counts from 1, 0 = first weights.

    Of a control message, `round` is its number.
    """

    kind: Kind
    sender: str
    round: int | None = None

    @property
    def place(self) -> str:
        """Path below `<run>/`; `BadInput` where kind, sender and round do not go together."""
        pattern = PLACES[self.kind]
        if self.round is None:
            pattern = WITHOUT_ROUND.get(self.kind, pattern)
        if ("{round}" in pattern) != (self.round is not None) or not 0 <= (self.round or 0) <= LAST_ROUND:
            raise BadInput(f"a message of kind {self.kind} has no such round", expected=pattern, got=str(self.round))
        if ("{site}" in pattern) != (self.sender != CENTRE):
            raise BadInput(f"a message of kind {self.kind} is not sent by {self.sender}", expected=pattern)
        return pattern.format(site=self.sender, round=f"{self.round or 0:04d}")

    def __str__(self) -> str:
        return self.place

    @classmethod
    def at(cls, place: str, owner: str) -> Slot:
        """The slot at a place in the bucket of `owner`; `BadMessage` if nothing of theirs may lie there."""
        for kind, pattern in (*PLACES.items(), *WITHOUT_ROUND.items()):
            found = re.fullmatch(pattern.format(site="(?P<site>[^/]+)", round=r"(?P<round>[0-9]{4})"), place)
            if found:
                groups = found.groupdict()
                return cls._owned(kind, groups.get("site") or CENTRE, groups.get("round"), owner)
        raise BadMessage("an object lies where no message belongs", expected="a place of docs/formats/federation.md")

    @classmethod
    def _owned(cls, kind: Kind, sender: str, number: str | None, owner: str) -> Slot:
        if sender != owner or (sender == CENTRE and "{site}" in PLACES[kind]):
            raise BadMessage(
                f"a message of kind {kind} lies in a bucket that is not its sender's",
                expected=f"a message of {owner}",
                hint="Somebody tried to speak for another party. Tell the centre",
            )
        return cls(kind, sender, None if number is None else int(number))
