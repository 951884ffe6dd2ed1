"""What centre and site have in common: look into the mailbox, ask for the next step, do the deed it names.

A party remembers nothing that it could not find again: a fresh object with the same home continues. The learner is made
by a function of the charter, because a site meets its charter only in the mailbox.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

from konsil.errors import BadMessage, Missing
from konsil.federation.charter import Charter, parse_charter
from konsil.federation.course import Course, course_of
from konsil.federation.holdings import Holdings, kept, notes_of
from konsil.federation.mailbox import Letter, Mailbox
from konsil.federation.rounds import next_step
from konsil.federation.slot import Kind, Slot
from konsil.federation.steps import Abort, Finish, Role, Step, Wait
from konsil.federation.strategies.site_rule import model_of
from konsil.files import write_json
from konsil.learners.protocol import Learner
from konsil.parties.abilities import fit_learner
from konsil.parties.ledger import Ledger
from konsil.parties.model_card import kept_rounds, model_card, write_card
from konsil.parties.page import write_page
from konsil.parties.sinks import Sink, Watched
from konsil.trust.audit import Audit
from konsil.trust.roster import CENTRE
from konsil.types import Json, Tensors

LearnerFor: TypeAlias = Callable[[Charter], Learner]
log = logging.getLogger(__name__)


class Party:
    """One side of one run. Subclasses bring the deeds: step type → method."""

    role: ClassVar[Role]

    def __init__(self, home: Path, mailbox: Mailbox, learner_for: LearnerFor) -> None:
        self.home, self.mailbox, self.run = home, mailbox, mailbox.run
        self.ledger = Ledger(home, mailbox.run)
        self._learner_for = learner_for
        self._learner: tuple[int, Learner] | None = None
        self._charter: Charter | None = None
        self.course: Course | None = None
        self.held: Json | None = None  # who paused this site's part, as of the last look
        self._recipe: Json | None = None
        self._letters: dict[Slot, Letter] = {}
        self.deeds: dict[type, Callable[[Any], None]] = {}
        self.sink: Sink = Watched([])  # who else wants to see the figures of the rounds

    def next(self) -> Step:
        """What is to be done now; looks into the mailbox, does nothing."""
        return next_step(self.role, self.look(), self.charter(), self.mailbox.now())

    def step(self) -> Step:
        """Do the next deed and say which it was; Wait, Finish and an announced Abort do nothing."""
        step = self.next()
        self.do(step)
        return step

    def do(self, step: Step) -> None:
        """Do one deed that `next` named."""
        if not isinstance(step, Wait | Finish):
            self.deeds[type(step)](step)

    def look(self) -> Holdings:
        """Read the manifests that are there."""
        self._letters = {letter.slot: letter for letter in self.mailbox.letters()}
        decision, recipe = self.ledger.decision(), self._letters.get(Slot(Kind.recipe, CENTRE, None))
        self.held = self.ledger.held()
        held = Holdings(
            me=self.mailbox.me,
            notes=kept(notes_of(self._letters.values()), self.mailbox.revoked),
            refused=self.ledger.refused(),
            decided=None if decision is None else bool(decision["accepted"]),
            prepared=recipe is not None and self.ledger.is_prepared(recipe.manifest.digest),
            held=None if self.held is None else str(self.held["why"]),
            revoked=self.mailbox.revoked,
        )
        charter = self.charter()
        self.course = None if charter is None else course_of(held, charter)
        final = self._letters.get(Slot(Kind.final, CENTRE, self.course.final_round if self.course else None))
        return replace(held, stored=final is not None and self.ledger.is_stored(final.manifest.digest))

    @property
    def letters(self) -> Mapping[Slot, Letter]:
        """The messages that stood at the last look, by slot."""
        return self._letters

    def charter(self) -> Charter | None:
        """The charter that was posted; None at a site that has not received it."""
        letter = self._letters.get(Slot(Kind.charter, CENTRE, None))
        if self._charter is None and letter is not None:
            self._charter = parse_charter(self.mailbox.read_json(letter))
        return self._charter

    @property
    def rules(self) -> Charter:
        """The charter, where it must be there."""
        charter = self.charter()
        if charter is None:
            raise Missing(f"The charter of {self.run} has not arrived")
        return charter

    @property
    def going(self) -> Course:
        """Where the run is going, where its charter must be there."""
        if self.course is None:
            raise Missing(f"The charter of {self.run} has not arrived")
        return self.course

    @property
    def learner(self) -> Learner:
        """The learner that the charter asks for, found fit; after an extension one that knows of the longer way."""
        if self._learner is None or self._learner[0] != self.going.end:
            own = self.rules.seen_by(self.mailbox.me).lasting(self.going.end)
            self._learner = (self.going.end, fit_learner(own, self._learner_for(own)))
        return self._learner[1]

    def letter(self, kind: Kind, sender: str = CENTRE, round: int | None = None) -> Letter:  # noqa: A002
        """The letter in a slot, where it must be there."""
        slot = Slot(kind, sender, round)
        if slot not in self._letters:
            raise Missing(f"The {kind.name.rstrip('_')} of {sender} has not arrived")
        return self._letters[slot]

    def recipe(self) -> Json:
        """The common recipe. BadMessage unless it is the one whose hash the centre signed in its manifest."""
        if self._recipe is None:
            letter = self.letter(Kind.recipe)
            recipe, named = self.mailbox.read_json(letter), letter.manifest.facts.get("recipe")
            if named not in (None, recipe.get("sha256")):
                raise BadMessage("the recipe is not the one that its manifest names", expected=f"{str(named)[:12]}…")
            self._recipe = recipe
        return self._recipe

    def global_model(self, round: int) -> Tensors:  # noqa: A002
        """The global model after `round`; 0 = the first weights."""
        return model_of(self.message(round))

    def message(self, round: int) -> Tensors:  # noqa: A002
        """All tensors of the global message after `round`: the model, and what the strategy adds to it."""
        return self.mailbox.read_tensors(self.letter(Kind.global_, round=round))

    def model_at(self, round: int) -> Tensors:  # noqa: A002
        """The model after `round` as this party uses it."""
        return self.global_model(round)

    def last_word(self) -> Letter:
        """How the present stretch of the run ended, where that must be there."""
        return self.letter(Kind.final, round=self.going.final_round)

    def store_model(self, step: Step) -> None:
        """Keep the released model and its card under `<home>/models/<run>`, the other one beside it, and the report."""
        letter = self.last_word()
        final = self.mailbox.read_json(letter)
        part = self.ledger.model.with_name(f".part-{self.run}")
        shutil.rmtree(part, ignore_errors=True)
        for folder, number in kept_rounds(final).items():
            (part / folder).mkdir(parents=True)
            self.learner.save(self.recipe(), self.model_at(number), part / folder)
            write_card(model_card(final, number) | self.lacking(), part / folder)
        shutil.rmtree(self.ledger.model, ignore_errors=True)
        part.replace(self.ledger.model)
        self.keep_report(final["summary"])
        self.ledger.keep_stored(letter.manifest.digest)
        facts = {"run": self.run, "round": final.get("round"), "digest": final.get("model")}
        Audit(self.home / "audit.jsonl").append("model stored", **facts)
        log.info("model stored in %s, report in %s", self.ledger.model, self.ledger.report)

    def lacking(self) -> Json:
        """What a model's card has to say where the model is not fit for use at this party; empty nearly always."""
        return {}

    def keep_report(self, summary: Json) -> None:
        """Write summary.json and report.html into the folder of the run."""
        write_json(self.ledger.summary, summary)
        write_page(summary, self.ledger.report)

    def heard_abort(self, step: Abort) -> None:
        """Keep the report of a run that was aborted."""
        letter = self.last_word()
        if not self.ledger.is_stored(letter.manifest.digest):
            self.keep_report(self.mailbox.read_json(letter)["summary"])
            self.ledger.keep_stored(letter.manifest.digest)
