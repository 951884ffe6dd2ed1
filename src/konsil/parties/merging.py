"""How the centre makes one model of the letters of a round: the charter's strategy, fed with streams from the mailbox.

The strategy may need the global model before the round, and what it remembers of the rounds before that
(`konsil.parties.momenta`). Updates that have to be compared site by site are put aside in the folder of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from konsil.federation.charter import Charter
from konsil.federation.delta16 import Part
from konsil.federation.mailbox import Letter, Mailbox
from konsil.federation.manifest import DTYPES
from konsil.federation.slot import Kind, Slot
from konsil.federation.strategies.choice import AsymFedAvgChoice
from konsil.federation.strategies.contribution import Chunk, Contribution, Spec, Specs, Strategy, fault
from konsil.federation.strategies.fedavg import FedAvg
from konsil.federation.strategies.staging import staged
from konsil.federation.strategies.table import Ground, memory_of, needs_model, strategy_of
from konsil.federation.update_form import UpdateForm
from konsil.parties.momenta import Momenta
from konsil.parties.summing import Summing
from konsil.trust.roster import CENTRE
from konsil.types import Json, Tensors


class Merging:
    """The arithmetic of one run at the centre; `letters` are those that stand, `folder` is that of the run.

    `stays` names the tensors that no site sends; `bases` keeps the newest global model from round to round.
    `opened`: who helped to open the sum, under secure aggregation.
    """

    def __init__(
        self,
        mailbox: Mailbox,
        charter: Charter,
        letters: Mapping[Slot, Letter],
        folder: Path,
        stays: Collection[str] = (),
        bases: Bases | None = None,
    ) -> None:
        self.mailbox, self.charter, self.letters, self.folder = mailbox, charter, letters, folder
        self._bases = bases or Bases()
        specs = specs_of(letters[Slot(Kind.global_, CENTRE, 0)])
        self.form = form_of(charter, specs, stays)
        self.opened: list[str] = []
        if charter.secure_aggregation is not None:
            self.summing = Summing(mailbox, charter, letters, folder, specs)
            self.form = replace(self.form, group=self.summing.group.size)
        self.momenta = Momenta(folder / "optimizer", memory_of(charter.rule, specs))

    def fault(self, number: int, letter: Letter, *, most_cases: int) -> str:
        """Why an update of round `number` cannot be used, judged by its manifest alone; "" = nothing wrong."""
        base = self._global(number - 1).manifest.digest
        return fault(letter.manifest.facts, base=base, most_cases=most_cases) or self.form.fault(specs_of(letter))

    def combine(self, number: int, updates: Mapping[str, Letter]) -> tuple[Tensors, Strategy]:
        """The global model of round `number` from the sites' letters in charter order, and the rule that made it.

        Raises Unusable naming a site whose update cannot be used, BadMessage, KonsilError.
        """
        digests = [self._global(earlier).manifest.digest for earlier in range(number)]
        memory = self.momenta.after(digests, self._again) if self.charter.rule.has_memory else {}
        return self._apply(number, updates, memory)

    def keep(self, number: int, included: Json, posted: Letter, made: tuple[Tensors, Strategy]) -> None:
        """Keep the model and what the rule remembers, if the message that stands was made of the same updates."""
        tensors, rule = made
        if posted.manifest.facts.get("included") == included:
            before = self._global(number - 1).manifest.digest
            self.momenta.keep(posted.manifest.digest, rule.memory, before=before)
            if self.form.precision != "float32":
                self._bases.part(posted, partial(whole, tensors), self.folder)

    def _again(self, number: int, memory: Tensors) -> Tensors:
        """Do a round once more, with exactly the updates its global model names; what the rule then remembers."""
        included = self._global(number).manifest.facts["included"]
        updates = {
            site: self.letters[Slot(Kind.update, site, number)] for site in self.charter.sites if site in included
        }
        return self._apply(number, updates, memory)[1].memory

    def _apply(self, number: int, updates: Mapping[str, Letter], memory: Tensors) -> tuple[Tensors, Strategy]:
        before, choice = self._global(number - 1), self.charter.rule
        model = self.mailbox.read_tensors(before) if needs_model(choice) else {}
        total = sum(self.letters[Slot(Kind.recipe, CENTRE)].manifest.facts["cases"].values())
        rule = strategy_of(choice, Ground(model, memory, self.folder, total))
        base = self._base(before)
        return rule.combine(self._parts(number, updates, base), specs_of(before)), rule

    def _parts(self, number: int, updates: Mapping[str, Letter], base: Part | None) -> list[Contribution]:
        """What the rule is given: every update, or under secure aggregation their mean alone."""
        if self.form.group and base is not None:
            mean, self.opened = self.summing.mean(number, updates, base)
            return [mean]
        return [self._contribution(site, letter, base) for site, letter in updates.items()]

    def _base(self, before: Letter) -> Part | None:
        """The global model that differences are added to, on the disk: no model more in memory. None: none are sent."""
        if self.form.precision == "float32" and not self.form.group:
            return None
        return self._bases.part(before, partial(self.mailbox.stream_tensors, before), self.folder)

    def _contribution(self, site: str, letter: Letter, base: Part | None) -> Contribution:
        """A site's update as a stream in the model's dtypes, with the training cases its manifest names."""
        announced = specs_of(letter)

        def opened() -> Iterator[Chunk]:
            return self.form.read(self.mailbox.stream_tensors(letter), announced, base)

        names = None if self.form.is_whole else frozenset(self.form.held(announced))
        return Contribution(site, letter.manifest.facts["cases"], opened, names)

    def _global(self, number: int) -> Letter:
        return self.letters[Slot(Kind.global_, CENTRE, number)]


class Bases:
    """The newest global model in a nameless file, from round to round: a centre that goes on need not fetch its own."""

    def __init__(self) -> None:
        self._open, self._digest = ExitStack(), ""
        self._part: Part | None = None

    def part(self, letter: Letter, numbers: Callable[[], Iterator[Chunk]], folder: Path) -> Part:
        """Reads the model of `letter`; `numbers` gives its chunks where it is not the one that lies here.

        Raises Unusable, BadMessage; then nothing lies here.
        """
        if self._part is None or self._digest != letter.manifest.digest:
            self._open.close()
            self._part = None
            model = self._open.enter_context(staged([Contribution(CENTRE, 1, numbers)], specs_of(letter), folder))
            self._part, self._digest = partial(model.part, 0), letter.manifest.digest
        return self._part


def whole(tensors: Tensors) -> Iterator[Chunk]:
    """The tensors of a model, each as one chunk."""
    for name, array in tensors.items():
        yield name, 0, array.reshape(-1)


def alone(mailbox: Mailbox, site: str, letter: Letter, specs: Specs) -> Tensors:
    """One site's model with every check: the mean of one model is that model. Raises Unusable."""
    stream = partial(mailbox.stream_tensors, letter)
    return FedAvg().combine([Contribution(site, 1, stream)], specs)


def form_of(charter: Charter, specs: Specs, stays: Collection[str]) -> UpdateForm:
    """What an update looks like under this charter; `specs` are those of a global message."""
    may_lack = isinstance(charter.rule, AsymFedAvgChoice)
    return UpdateForm(specs, charter.precision, frozenset(stays), may_lack)


def specs_of(letter: Letter) -> Specs:
    """Shapes and dtypes that a message announces; none for a message with JSON."""
    table = letter.manifest.tensors
    rows = table.rows() if table is not None else ()
    return {name: Spec(shape, np.dtype(DTYPES[code]).name) for name, shape, code, _ in rows}
