"""What a site has in every deed of a run: its cohort, its recipe, its way through the rounds, and its voice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from konsil.cohort.folder import SiteFolder
from konsil.cohort.frozen import read_frozen
from konsil.errors import Missing
from konsil.federation.mailbox import Mailbox
from konsil.federation.slot import Kind, Slot
from konsil.federation.steps import Role
from konsil.federation.strategies.choice import DittoChoice
from konsil.parties.abilities import fit, steered
from konsil.parties.local_rounds import LocalRounds, local_rounds
from konsil.parties.masking import Masking
from konsil.parties.own_models import taken_apart
from konsil.parties.party import LearnerFor, Party
from konsil.trust.roster import CENTRE
from konsil.types import Json, Tensors

if TYPE_CHECKING:
    from konsil.cohort.frozen import FrozenCohort

CohortFor: TypeAlias = "Callable[[str], FrozenCohort]"


class Participant(Party):
    """A site as it takes part. `cohort_for(name)` opens a frozen cohort; by default the one below `<home>/cohorts`."""

    role: ClassVar[Role] = Role.SITE

    def __init__(
        self, home: Path, mailbox: Mailbox, learner_for: LearnerFor, cohort_for: CohortFor | None = None
    ) -> None:
        super().__init__(home, mailbox, learner_for)
        self._cohort_for = cohort_for or (lambda name: read_frozen(SiteFolder(home).cohort(name).frozen))
        self._cohort: FrozenCohort | None = None
        self._rounds: LocalRounds | None = None

    def cohort(self) -> FrozenCohort:
        """The cohort the custodian chose, with every hash checked once, and fit for the charter."""
        if self._cohort is None:
            decision = self.ledger.decision()
            if decision is None or not decision.get("cohort"):
                raise Missing("No cohort was chosen for this run", hint="Run: konsil decide RUN --accept --cohort NAME")
            self._cohort = fit(self._cohort_for(decision["cohort"]), self.rules)
        return self._cohort

    @property
    def is_masked(self) -> bool:
        """Whether this run's updates travel under masks."""
        return self.rules.secure_aggregation is not None

    @property
    def masking(self) -> Masking:
        """This site's part in secure aggregation."""
        return Masking(self.mailbox, self.rules, self.ledger.folder, self.home)

    def rounds(self, message: Tensors) -> LocalRounds:
        """How this site takes part under the charter's strategy; `message` is any global message of the run."""
        if self._rounds is None or self._rounds.learner is not self.learner:
            self._rounds = local_rounds(
                self.rules,
                self.mailbox.me,
                learner=self.learner,
                recipe=self.recipe(),
                message=message,
                folder=self.ledger.folder,
                counted=self.counted,
            )
        return self._rounds

    def counted(self, round: int) -> bool:  # noqa: A002
        """Whether the global model of a round was made with my update of it."""
        mine, made = Slot(Kind.update, self.mailbox.me, round), Slot(Kind.global_, CENTRE, round)
        if mine not in self._letters or made not in self._letters:
            return False
        included = self._letters[made].manifest.facts.get("included", {})
        return bool(included.get(self.mailbox.me, {}).get("digest") == self._letters[mine].manifest.digest)

    def recipe(self) -> Json:
        """The common recipe, or this site's own where the charter gives it settings of its own."""
        if self._recipe is None and self.mailbox.me in self.rules.own_settings:
            self._recipe = steered(self.learner).adapt(super().recipe())
        return super().recipe()

    def model_at(self, round: int) -> Tensors:  # noqa: A002
        """The federation's model after `round` with what this site keeps of its own."""
        message = self.message(round)
        return self.rounds(message).model(message, round)

    def own_model_at(self, round: int) -> Tensors | None:  # noqa: A002
        """The second model that the strategy lets this site train; None under most."""
        if not isinstance(self.rules.rule, DittoChoice):
            return None
        message = self.message(round)
        return self.rounds(message).own_model(message, round)

    def _local_models(self) -> dict[str, Tensors]:
        """The local models of all sites, as the centre passed them on: `<site>/<name>` taken apart."""
        if Slot(Kind.baselines, CENTRE) not in self._letters:
            return {}
        letter = self.letter(Kind.baselines)
        return taken_apart(self.mailbox.read_tensors(letter), letter.manifest.facts["sites"])

    def _tell(self, slot: Slot, content: Json, facts: Json) -> None:
        if not self._has_left():
            self.mailbox.post_json(slot, content, recipients=[CENTRE], facts=facts)

    def _send(self, slot: Slot, tensors: Tensors, facts: Json) -> None:
        if not self._has_left():
            self.mailbox.post_tensors(slot, tensors, recipients=[CENTRE], facts=facts)

    def _has_left(self) -> bool:
        """Whether the site left while the deed was being done: then nothing of it goes out any more."""
        self.look()
        return self.mailbox.me in self.going.left
