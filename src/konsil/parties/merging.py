"""How the centre makes one model of the letters of a round: the charter's strategy, fed with streams from the mailbox.

The strategy may need the global model before the round, and what it remembers of the rounds before that
(`konsil.parties.momenta`). Updates that have to be compared site by site are put aside in the folder of the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from konsil.federation.charter import Charter
from konsil.federation.mailbox import Letter, Mailbox
from konsil.federation.manifest import DTYPES
from konsil.federation.slot import Kind, Slot
from konsil.federation.strategies.contribution import Contribution, Spec, Specs, Strategy
from konsil.federation.strategies.fedavg import FedAvg
from konsil.federation.strategies.table import Ground, memory_of, needs_model, strategy_of
from konsil.parties.momenta import Momenta
from konsil.trust.roster import CENTRE
from konsil.types import Json, Tensors


class Merging:
    """The arithmetic of one run at the centre; `letters` are those that stand, `folder` is that of the run."""

    def __init__(self, mailbox: Mailbox, charter: Charter, letters: Mapping[Slot, Letter], folder: Path) -> None:
        self.mailbox, self.charter, self.letters, self.folder = mailbox, charter, letters, folder
        specs = memory_of(charter.rule, specs_of(letters[Slot(Kind.global_, CENTRE, 0)]))
        self.momenta = Momenta(folder / "optimizer", specs)

    def combine(self, number: int, updates: Mapping[str, Letter]) -> tuple[Tensors, Strategy]:
        """The global model of round `number` from the sites' letters in charter order, and the rule that made it.

        Raises Unusable naming a site whose update cannot be used, BadMessage, KonsilError.
        """
        digests = [self._global(earlier).manifest.digest for earlier in range(number)]
        memory = self.momenta.after(digests, self._again) if self.charter.rule.has_memory else {}
        return self._apply(number, updates, memory)

    def keep(self, number: int, included: Json, posted: Letter, rule: Strategy) -> None:
        """Keep what the rule remembers, if the message that stands is the one it was computed with."""
        if posted.manifest.facts.get("included") == included:
            before = self._global(number - 1).manifest.digest
            self.momenta.keep(posted.manifest.digest, rule.memory, before=before)

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
        rule = strategy_of(choice, Ground(model, memory, self.folder))
        parts = [contribution(self.mailbox, site, letter) for site, letter in updates.items()]
        return rule.combine(parts, specs_of(before)), rule

    def _global(self, number: int) -> Letter:
        return self.letters[Slot(Kind.global_, CENTRE, number)]


def alone(mailbox: Mailbox, site: str, letter: Letter, specs: Specs) -> Tensors:
    """One site's model with every check: the mean of one model is that model. Raises Unusable."""
    stream = partial(mailbox.stream_tensors, letter)
    return FedAvg().combine([Contribution(site, 1, stream)], specs)


def contribution(mailbox: Mailbox, site: str, letter: Letter) -> Contribution:
    """A site's update as a stream, with the training cases its manifest names."""
    return Contribution(site, letter.manifest.facts["cases"], partial(mailbox.stream_tensors, letter))


def specs_of(letter: Letter) -> Specs:
    """Shapes and dtypes that a message announces; none for a message with JSON."""
    table = letter.manifest.tensors
    rows = table.rows() if table is not None else ()
    return {name: Spec(shape, np.dtype(DTYPES[code]).name) for name, shape, code, _ in rows}
