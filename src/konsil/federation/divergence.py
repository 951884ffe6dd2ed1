"""Training that went astray at a site: how it is told, and what the charter lets follow from it.

A site whose loss is not a number, whose weights are not finite or whose Dice collapsed has nothing to average. It says
so in its place: an update with the global model it started from, unchanged, 0 steps and the fact `diverged`. So the
round need not wait for its deadline. The centre refuses the update with the reason and goes on without it, if the
quorum bears that, or ends the run where the charter says so. In the next round the site begins with the new global
model and the momentum of its last good round. Specification: docs/formats/charter.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from konsil.types import Json

DICE = ("dice", "pseudo_dice")
"""The metrics that may collapse; the first that both rounds have is compared."""
REASONS = {
    "loss": "its training diverged: the loss is not a number",
    "weights": "its training diverged: weights are not finite",
    "dice": "its training diverged: the Dice of its validation patients collapsed",
}


class Divergence(BaseModel):
    """`dice_below`: a Dice below this share of the site's best so far is a collapse; None: only numbers count."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    then: Literal["leave out", "stop"] = "leave out"
    dice_below: float | None = Field(default=None, gt=0, lt=1)

    def collapsed(self, earlier: Iterable[Mapping[str, Any]], now: Mapping[str, Any]) -> bool:
        """Whether a round's metrics have collapsed against the metrics of the site's earlier rounds."""
        if self.dice_below is None:
            return False
        known = list(earlier)
        for name in DICE:
            before = [metrics[name] for metrics in known if name in metrics]
            if name in now and before:
                return bool(now[name] < self.dice_below * max(before))
        return False


def reason(facts: Json) -> str:
    """Why the site says that its update is none, from the facts of the manifest; "" = it does not say so."""
    kind = facts.get("diverged")
    return REASONS.get(kind, "its training diverged") if isinstance(kind, str) else ""
