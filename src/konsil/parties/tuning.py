"""Local fine-tuning at a site: the training after the last round, and what is kept of it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from konsil.errors import Diverged
from konsil.federation.fine_tuning import FineTuning
from konsil.learners.protocol import Learner
from konsil.parties.abilities import steered
from konsil.types import Json, Steering, Tensors

if TYPE_CHECKING:
    from konsil.cohort.frozen import FrozenCohort

CHAIN = "tuned"
log = logging.getLogger(__name__)


def tune(
    learner: Learner, cohort: FrozenCohort, recipe: Json, final: Tensors, rule: FineTuning, *, last: int
) -> Tensors:
    """The result `final` trained on with this site's patients, with the learning rates of the run's last rounds.

    A training that diverges gives the result back unchanged: then there is nothing to keep and nothing to forget.
    """
    current, near = final, Steering(pull=rule.pull, anchor=final)
    for number in range(max(last - rule.rounds, 0) + 1, last + 1):
        try:
            update = steered(learner).train(cohort, recipe, current, number, steering=near, chain=CHAIN)
        except Diverged as error:
            log.warning("fine-tuning is given up: %s", error.sentence)
            return final
        current = update.tensors
        log.info("fine-tuning: round %d of %d", number - max(last - rule.rounds, 0), min(rule.rounds, last))
    return current
