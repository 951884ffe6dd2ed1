"""Whether a learner and a cohort are what a charter asks for, and the words for what they lack."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from konsil.errors import BadInput, BadSetting
from konsil.federation.charter import Charter
from konsil.learners.protocol import Learner, SteeredLearner
from konsil.types import Json

if TYPE_CHECKING:
    from konsil.cohort.frozen import FrozenCohort

WORDS = {
    "steering": "adds a term to its gradients",
    "plain steps": "takes plain gradient steps (for nnunet: the setting momentum 0)",
    "second model": "trains a second model beside the federation's",
    "norms": "names its normalisation layers",
    "own plan": "plans with settings of a single site",
    "given weights": "starts from a given model",
}


def fit_learner(charter: Charter, learner: Learner) -> Learner:
    """The learner itself, if it can do what the strategy needs; BadSetting otherwise."""
    needs = (*charter.rule.needs, *(["own plan"] if charter.own_settings else []))
    needs += ("steering", "second model") if charter.fine_tune else ()
    needs = (*needs, *(["given weights"] if charter.start else []))
    offered: frozenset[str] = getattr(learner, "abilities", frozenset())
    lacking = [need for need in needs if need not in offered]
    if lacking:
        raise BadSetting(
            f"The learner {charter.learner.name} cannot be trained with {charter.rule.name}"
            + (" and fine-tuning" if charter.fine_tune else ""),
            expected=f"one that {' and '.join(WORDS[need] for need in lacking)}",
            hint="Choose another strategy, or change the learner's settings",
        )
    return learner


def steered(learner: Learner) -> SteeredLearner:
    """A learner that was found fit, with what it offers beyond the others."""
    return cast(SteeredLearner, learner)


def norms_of(charter: Charter, learner: Learner, recipe: Json) -> tuple[str, ...]:
    """The tensors that stay at their sites because they are normalisation layers; none under most strategies."""
    return steered(learner).norms(recipe) if "norms" in charter.rule.needs else ()


def fit(cohort: FrozenCohort, charter: Charter) -> FrozenCohort:
    """The cohort itself, if it has the channels and labels the charter asks for and something to train on."""
    wanted = charter.data
    if not set(wanted.channels) <= set(cohort.channels) or dict(cohort.labels) != dict(wanted.labels):
        raise BadInput(
            f"The cohort {cohort.name} is not what the charter asks for",
            expected=f"channels {', '.join(wanted.channels)} and labels {', '.join(wanted.labels)}",
            got=f"channels {', '.join(cohort.channels)} and labels {', '.join(cohort.labels)}",
            hint="Choose another cohort, or refuse the charter",
        )
    if not cohort.split("train"):
        raise BadInput(f"The cohort {cohort.name} has no training cases", expected="at least one case with a label")
    return cohort
