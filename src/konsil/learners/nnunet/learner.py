"""nnU-Net behind the door that all learners share; each method hands over to the module that knows its step.

torch and nnU-Net are imported by the first method that is called, so that making a learner (to check a charter's
settings, say) costs nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from konsil.errors import BadMessage
from konsil.evaluation.metrics import mean_of
from konsil.learners.nnunet import environment
from konsil.learners.nnunet import recipe as recipes
from konsil.learners.nnunet.dataset import cases_of, check_fit
from konsil.learners.nnunet.settings import parse_data, parse_settings
from konsil.learners.protocol import NewChannels, OtherTensors, Split, Transferred, Update
from konsil.types import Json, Steering, Tensors

if TYPE_CHECKING:
    from konsil.cohort.frozen import FrozenCohort
    from konsil.evaluation.metrics import CaseMetrics
    from konsil.learners.nnunet.session import Session

log = logging.getLogger(__name__)


class NnUNet:
    """nnU-Net v2 with a charter's settings, at the site or centre that lives in `home`."""

    def __init__(
        self, settings: Json, *, rounds: int, seed: int, home: Path, run: str, data: Json, extra_rounds: int = 0
    ) -> None:
        self.settings, self.data = parse_settings(settings), parse_data(data)
        self.rounds, self.seed, self.home, self.run = rounds, seed, home.resolve(), run
        self.extra_rounds = extra_rounds
        self._session: Session | None = None

    @property
    def abilities(self) -> frozenset[str]:
        """What strategies may ask for; steps are plain gradient steps only without momentum."""
        always = {"steering", "second model", "norms", "own plan", "given weights"}
        return frozenset(always if self.settings.momentum else always | {"plain steps"})

    def fingerprint(self, cohort: FrozenCohort) -> Json:
        """Describe the training and validation cases in numbers."""
        with environment.at(self.home):
            from konsil.learners.nnunet import room
            from konsil.learners.nnunet.fingerprint import extract

            for case in cases_of(cohort, self.data):
                room.check(case)
            found = extract(cohort, self.data, self.settings)
        if not found["intensities"]:
            log.warning("no case of %s has a labelled voxel: it can only teach what is no label", cohort.name)
        return found

    def plan(self, fingerprints: Mapping[str, Json]) -> Json:
        """Merge the sites' fingerprints and let nnU-Net plan, without images."""
        with environment.at(self.home):
            from konsil.learners.nnunet.planning import plan

            return plan(fingerprints, self.data, self.settings, rounds=self.rounds, seed=self.seed, run=self.run)

    def adapt(self, recipe: Json) -> Json:
        """Plan once more with this site's settings, from the merged fingerprint; the common recipe if it has none."""
        recipes.check(recipe)
        if recipes.settings_of(recipe) == self.settings:
            return recipe
        with environment.at(self.home):
            from konsil.learners.nnunet.planning import planned

            merged, dataset = recipe["fingerprint"], recipe["dataset"]
            return planned(merged, dataset, self.settings, rounds=self.rounds, seed=self.seed, run=self.run)

    def norms(self, recipe: Json) -> tuple[str, ...]:
        """The affine parameters of the normalisation layers, as the recipe names them, with their shared momentum."""
        recipes.check(recipe)
        if "norms" not in recipe["plans"]["konsil"]:
            raise BadMessage("the recipe does not name the normalisation layers", hint="An older Konsil planned it")
        found = tuple(recipe["plans"]["konsil"]["norms"])
        if self.settings.optimizer_state != "share":
            return found
        from konsil.learners.nnunet.keepsake import MOMENTUM

        return found + tuple(MOMENTUM + name for name in found)

    def prepare(self, cohort: FrozenCohort, recipe: Json) -> None:
        """Preprocess the cohort with nnU-Net by the common plan."""
        self._accept(recipe)
        with environment.at(self.home):
            from konsil.learners.nnunet.preparation import prepare

            prepare(self.home, cohort, self.data, recipe)

    def initial(self, recipe: Json) -> Tensors:
        """The first weights, drawn from the recipe's seed."""
        self._accept(recipe)
        with environment.at(self.home):
            from konsil.learners.nnunet import network, tensors

            built = network.build(recipe)
            return {**tensors.read(built), **self._momentum(built)}

    def initial_from(
        self, recipe: Json, given: Path, new_channels: NewChannels, other_tensors: OtherTensors = "refused"
    ) -> Transferred:
        """The weights of a given model folder, mapped by the names of the channels."""
        self._accept(recipe)
        with environment.at(self.home):
            from konsil.learners.nnunet import network
            from konsil.learners.nnunet.transfer import matched, transferred

            if other_tensors == "drawn":
                found = matched(recipe, given, new_channels)
            else:
                found = Transferred(transferred(recipe, given, new_channels))
            fresh = self._momentum(network.build(recipe))
            return replace(found, tensors={**found.tensors, **fresh}, fresh=len(fresh))

    def train(
        self,
        cohort: FrozenCohort,
        recipe: Json,
        tensors: Tensors,
        round: int,  # noqa: A002
        *,
        steering: Steering | None = None,
        chain: str = "federated",
    ) -> Update:
        """One round from the given weights; the trainer stays warm for the next."""
        self._accept(recipe)
        with environment.at(self.home, self._training()):
            update = self._warm().round(cohort, recipe, tensors, round, chain=chain, steering=steering)
        if chain != "federated" or not self.settings.dice_every or round % self.settings.dice_every:
            return update
        return replace(update, metrics={**update.metrics, **self._dice(cohort, recipe, update.tensors)})

    def baseline(self, cohort: FrozenCohort, recipe: Json, tensors: Tensors) -> Tensors:
        """All rounds alone, from the same first weights."""
        self._accept(recipe)
        with environment.at(self.home, self._training()):
            return self._warm().alone(cohort, recipe, tensors)

    def evaluate(self, cohort: FrozenCohort, recipe: Json, tensors: Tensors, split: Split) -> list[CaseMetrics]:
        """Segment one split and compare with the drawn masks on the images' own grid.

        Exhausted where the GPU is full.
        """
        self._accept(recipe)
        check_fit(cohort, self.data)
        with environment.at(self.home):
            from konsil.learners.nnunet import momenta, network, predict
            from konsil.learners.nnunet import tensors as exchange

            trained = network.build(recipe)
            exchange.write(trained, momenta.parted(tensors)[0])
            segmenter = predict.Segmenter(recipe, trained)
            cases = cases_of(cohort, self.data, (split,))
            found: list[CaseMetrics] = []
            for case in cases:
                log.info("evaluate: case %d of %d", len(found) + 1, len(cases))
                images = dict(zip(self.data.channels, case.images, strict=True))
                found.append(segmenter.judge(case.name, images, case.label))
            segmenter.leave_the_card()
        return found

    def _dice(self, cohort: FrozenCohort, recipe: Json, tensors: Tensors) -> dict[str, float]:
        """Mean Dice of the whole validation images, segmented as for a result; empty where it is defined for none."""
        mean = mean_of(case.mean() for case in self.evaluate(cohort, recipe, tensors, "validation"))
        return {} if mean is None else {"dice": mean}

    def save(self, recipe: Json, tensors: Tensors, folder: Path) -> None:
        """Write a model folder for `konsil predict` and for nnU-Net's own command."""
        recipes.check(recipe)
        with environment.at(self.home):
            from konsil.learners.nnunet.model_folder import write
            from konsil.learners.nnunet.momenta import parted

            write(recipe, parted(tensors)[0], folder)

    def _momentum(self, built: Any) -> Tensors:
        """The momentum that the first message carries, where it is shared."""
        from konsil.learners.nnunet.momenta import at_rest

        return at_rest(built) if self.settings.optimizer_state == "share" else {}

    def _accept(self, recipe: Json) -> None:
        recipes.check_for(recipe, self.data, self.settings, rounds=self.rounds, seed=self.seed, run=self.run)

    def _warm(self) -> Session:
        from konsil.learners.nnunet.session import Session

        if self._session is None:
            folder = self.home / "runs" / self.run / "nnunet"
            self._session = Session(self.home, folder, self.extra_rounds)
        return self._session

    def _training(self) -> dict[str, str]:
        from konsil.learners.nnunet import device

        return device.variables(self.settings, self.home)
