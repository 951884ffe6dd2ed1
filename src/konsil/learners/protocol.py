"""What a learner offers: everything between a frozen cohort and named tensors.

The order of a federation::

    site    fingerprint(cohort)                 numbers about the images, never voxels
    centre  plan({site: fingerprint, …})        one recipe for all
    site    prepare(cohort, recipe)             preprocess; a second call does nothing
    centre  initial(recipe)                     first weights, seeded
    site    train(cohort, recipe, global, r)    r = 1 … rounds; an update per round
    site    evaluate(cohort, recipe, final, "test")
    all     save(recipe, final, folder)         a folder that `konsil predict` reads

Recipes and fingerprints are JSON objects; tensors are float32 arrays, each once, in one fixed order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from konsil.types import Json, Steering, Tensors

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from konsil.cohort.frozen import FrozenCohort
    from konsil.evaluation.metrics import CaseMetrics

Recipe: TypeAlias = Json
Fingerprint: TypeAlias = Json
Split = Literal["train", "validation", "test"]
NewChannels = Literal["zero", "mean", "drawn"]
OtherTensors = Literal["refused", "drawn"]


@dataclass(frozen=True)
class Update:
    """What one site hands in after one round: its weights, how many cases and steps made them, and figures about it.

    `cases` is the number of training cases (the weight in FedAvg), `steps` the optimizer steps really done. `metrics`
    holds finite numbers only; a figure that is not defined in this round is absent. `rates` is the sum of the learning
    rates over these steps, 0 where a learner cannot say.
    """

    tensors: Tensors
    cases: int
    steps: int
    metrics: dict[str, float] = field(default_factory=dict)
    rates: float = 0.0


class Learner(Protocol):
    """One kind of model with its settings, at one site or at the centre."""

    def fingerprint(self, cohort: FrozenCohort) -> Fingerprint:
        """Describe the training and validation cases in numbers; the only thing shared before round 1."""

    def plan(self, fingerprints: Mapping[str, Fingerprint]) -> Recipe:
        """Merge the sites' fingerprints (in any order: same result) into one recipe, without images."""

    def prepare(self, cohort: FrozenCohort, recipe: Recipe) -> None:
        """Preprocess the cohort by the common recipe; continues after a kill, does nothing if already done."""

    def initial(self, recipe: Recipe) -> Tensors:
        """Give the first weights; the same recipe gives the same bits."""

    def train(self, cohort: FrozenCohort, recipe: Recipe, tensors: Tensors, round: int) -> Update:  # noqa: A002
        """Train from the global `tensors` for round 1 … rounds; the same round asked twice gives the same update."""

    def baseline(self, cohort: FrozenCohort, recipe: Recipe, tensors: Tensors) -> Tensors:
        """Train alone, from the same first weights, for as many steps as the whole federation gives this site."""

    def evaluate(self, cohort: FrozenCohort, recipe: Recipe, tensors: Tensors, split: Split) -> list[CaseMetrics]:
        """Segment the cases of one split and compare with the drawn masks, on the images' own grid."""

    def save(self, recipe: Recipe, tensors: Tensors, folder: Path) -> None:
        """Write a model folder that `konsil predict` reads."""


class SteeredLearner(Learner, Protocol):
    """What some strategies ask of a learner beside that. `abilities` says which of it this one offers, as it is set:

    ``steering``      `train` takes `steering`: a term added to the gradient of every step
    ``plain steps``   every step is −η times the gradient: no momentum, no adaptive rates
    ``second model``  `train` takes `chain`: the name of a training whose momentum is kept apart from the federation's
    ``norms``         `norms` names the normalisation layers
    ``own plan``      `adapt` plans with this site's own settings
    ``given weights`` `initial_from` starts from a given model (`TransferLearner`)
    """

    abilities: frozenset[str]

    def train(
        self,
        cohort: FrozenCohort,
        recipe: Recipe,
        tensors: Tensors,
        round: int,  # noqa: A002
        *,
        steering: Steering | None = None,
        chain: str = "federated",
    ) -> Update:
        """As `Learner.train`, steered, in the training `chain`."""

    def norms(self, recipe: Recipe) -> tuple[str, ...]:
        """The tensors that are parameters or statistics of normalisation layers, as the recipe names them."""

    def adapt(self, recipe: Recipe) -> Recipe:
        """The recipe for this learner's own settings, made from the federation's merged fingerprint."""


@dataclass(frozen=True)
class Transferred:
    """First weights taken from a given model, and the names of the tensors that had to be drawn instead.

    `fresh`: how many tensors are no weights at all, such as momentum that starts at zero.
    """

    tensors: Tensors
    drawn: tuple[str, ...] = ()
    fresh: int = 0

    @property
    def taken(self) -> int:
        """How many tensors come from the given model."""
        return len(self.tensors) - len(self.drawn) - self.fresh


class TransferLearner(Learner, Protocol):
    """A learner with the ability ``given weights``."""

    def initial_from(
        self, recipe: Recipe, given: Path, new_channels: NewChannels, other_tensors: OtherTensors = "refused"
    ) -> Transferred:
        """First weights from a model folder: bit by bit, but for channels that the model does not know.

        Raises Refused where the recipe's network or labels are not the model's; with `other_tensors` "drawn" only where
        nothing of it fits, and every other tensor is drawn by the seed.
        """


class Segmenter(Protocol):
    """A trained model ready to segment. `channels` in input order, `labels` by name, `sha256` of its weights."""

    channels: list[str]
    labels: dict[str, int]
    sha256: str

    def segment(self, images: Mapping[str, Path]) -> tuple[npt.NDArray[np.uint8], Json]:
        """Label map of shape (z, y, x), and its grid ("spacing" in mm, z first), from one image per channel."""

    def write(self, target: Path, mask: npt.NDArray[np.uint8], properties: Json) -> None:
        """Write a label map as NIfTI on the grid of its images."""

    def judge(self, name: str, images: Mapping[str, Path], label: Path) -> CaseMetrics:
        """Segment a case and compare with its drawn label map, on the images' own grid."""
