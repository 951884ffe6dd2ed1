"""How a site takes part in a round under the charter's strategy: what it trains from, hands in, and keeps for itself.

The learner trains; the strategy's half for sites (`federation.strategies.site_rule`) says from which weights, with
which term added to the gradients, and which of the numbers leave.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from konsil.federation.charter import Charter
from konsil.federation.strategies.scaffold import ScaffoldSite
from konsil.federation.strategies.site_rule import SiteRule
from konsil.federation.strategies.table import SiteGround, site_rule_of
from konsil.learners.protocol import Learner, Update
from konsil.parties.abilities import norms_of, steered
from konsil.parties.keepsakes import Keepsakes
from konsil.types import Json, Tensors

if TYPE_CHECKING:
    from konsil.cohort.frozen import FrozenCohort

OWN = "own"
"""The chain of a second model, and the folder of what a site keeps."""


@dataclass(frozen=True)
class LocalRounds:
    """One site's way through the rounds; `counted(round)` says whether its update of that round was averaged."""

    learner: Learner
    recipe: Json
    rule: SiteRule
    kept: Keepsakes
    counted: Callable[[int], bool]

    def train(self, cohort: FrozenCohort, message: Tensors, number: int) -> Update:
        """Train round `number` from the global `message`; `tensors` is what is handed in, the rest is on the disk."""
        made_from, kept = self._before(number)
        steering = self.rule.steering(message, kept)
        start = self.rule.start(message, kept)
        if steering is None:
            update = self.learner.train(cohort, self.recipe, start, number)
        else:
            update = steered(self.learner).train(cohort, self.recipe, start, number, steering=steering)
        sent, keep = self.rule.hand_in(message, kept, update.tensors, update.rates)
        if (second := self.rule.second(message, kept)) is not None:
            begin, near = second
            own = steered(self.learner).train(cohort, self.recipe, begin, number, steering=near, chain=OWN)
            keep = own.tensors
        self.kept.keep(number, keep, made_from=made_from)
        return replace(update, tensors=sent)

    def model(self, message: Tensors, number: int) -> Tensors:
        """The federation's model as this site uses it after round `number`."""
        return self.rule.start(message, self._after(number))

    def own_model(self, message: Tensors, number: int) -> Tensors | None:
        """The site's second model after round `number`; None where the strategy has none or it never trained."""
        kept = self._after(number)
        return kept if kept and self.rule.second(message, kept) is not None else None

    def _after(self, number: int) -> Tensors:
        """What was kept up to `number`; of an earlier round that is no longer there, the latest instead."""
        return self.kept.before(number + 1)[1] or self.kept.before(sys.maxsize)[1]

    def _before(self, number: int) -> tuple[int, Tensors]:
        """A control variate is what the centre counted; everything else is simply the latest."""
        if isinstance(self.rule, ScaffoldSite):
            return self.kept.before(number, self.counted)
        return self.kept.before(number)


def local_rounds(
    charter: Charter,
    site: str,
    *,
    learner: Learner,
    recipe: Json,
    message: Tensors,
    folder: Path,
    counted: Callable[[int], bool],
) -> LocalRounds:
    """The site's way under this charter; `recipe` is the site's own, `message` any global message of the run."""
    first = learner.initial(recipe) if site in charter.own_settings else None
    ground = SiteGround(norms_of(charter, learner, recipe), first)
    rule = site_rule_of(charter.rule, ground, message)
    return LocalRounds(learner, recipe, rule, Keepsakes(folder / OWN), counted)
