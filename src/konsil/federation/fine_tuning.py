"""The charter's rule for local fine-tuning of the final model, and the guard against forgetting.

After the last round every site trains the result on for `rounds` rounds with its own patients alone, held near the
result by `pull` (w − w_final) in every gradient. The tuned model travels with the local model for comparison
(`compare_with_local` is the consent to that) and is tested at every site. Its site keeps it only if it forgot little:
its mean test Dice at the other sites may be at most `forgets` below that of the federation's model there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from konsil.types import Json

TUNED = "tuned/"
"""Before the names of the tuned model's tensors in a message."""


class FineTuning(BaseModel):
    """`rounds`, with the learning rates of the run's last ones; `forgets`: Dice that may be lost elsewhere."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    rounds: int = Field(default=1, ge=1, le=100)
    pull: float = Field(default=0.1, ge=0, le=10)
    forgets: float = Field(default=0.02, ge=0, le=1)


@dataclass(frozen=True)
class Verdict:
    """Whether a site keeps its tuned model: mean Dice of the other sites, with the tuned and the federation's model."""

    kept: bool
    tuned: float | None
    federated: float | None
    why: str

    def as_json(self) -> Json:
        """For the card of the model and the log."""
        return {"kept": self.kept, "tuned": self.tuned, "federated": self.federated, "why": self.why}


def judged(site: str, evaluation: Mapping[str, Json], rule: FineTuning) -> Verdict:
    """The verdict on the tuned model of `site` from the summary's `evaluation.<tested at>.{federated,tuned}`.

    Only sites at which both models have a Dice count; without any there is no proof that nothing was forgotten.
    """
    pairs = [
        (dice_of(table.get("tuned", {}).get(site)), dice_of(table.get("federated")))
        for tested, table in evaluation.items()
        if tested != site
    ]
    known = [(tuned, federated) for tuned, federated in pairs if tuned is not None and federated is not None]
    if not known:
        return Verdict(False, None, None, "no other site has tested it, so nobody knows what it forgot")
    tuned, federated = fmean(one for one, _ in known), fmean(other for _, other in known)
    if tuned < federated - rule.forgets:
        return Verdict(False, tuned, federated, f"it lost more than {rule.forgets:g} of Dice at the other sites")
    return Verdict(True, tuned, federated, f"it lost at most {rule.forgets:g} of Dice at the other sites")


def dice_of(means: Any) -> float | None:
    """The mean Dice of a table of means; None where there is none."""
    found = means.get("dice", {}).get("mean") if isinstance(means, dict) else None
    return float(found) if isinstance(found, int | float) else None


def parted(tensors: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A site's message taken apart: the local model, and the tuned one (empty if there is none), by plain names."""
    local = {name: entry for name, entry in tensors.items() if not name.startswith(TUNED)}
    tuned = {name.removeprefix(TUNED): entry for name, entry in tensors.items() if name.startswith(TUNED)}
    return local, tuned


def with_tuned(local: Mapping[str, Any], tuned: Mapping[str, Any]) -> dict[str, Any]:
    """Both models in one message (arrays or specs, by name)."""
    return {**local, **{TUNED + name: entry for name, entry in tuned.items()}}
