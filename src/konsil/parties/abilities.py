"""Whether a learner can do what a charter's strategy asks of it, and the words for what it lacks."""

from __future__ import annotations

from typing import cast

from konsil.errors import BadSetting
from konsil.federation.charter import Charter
from konsil.learners.protocol import Learner, SteeredLearner
from konsil.types import Json

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
    needs = (*needs, *(["given weights"] if charter.start else []))
    offered: frozenset[str] = getattr(learner, "abilities", frozenset())
    lacking = [need for need in needs if need not in offered]
    if lacking:
        raise BadSetting(
            f"The learner {charter.learner.name} cannot be trained with {charter.rule.name}",
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
