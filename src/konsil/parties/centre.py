"""The centre's deeds: publish the charter, make the recipe, average, pass local models on, release, or say why not."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from konsil.errors import BadMessage
from konsil.federation.centre_rules import members
from konsil.federation.charter import Charter
from konsil.federation.fine_tuning import with_tuned
from konsil.federation.holdings import Holdings
from konsil.federation.mailbox import Letter, Mailbox
from konsil.federation.secure.keys import vouched
from konsil.federation.slot import Kind, Slot
from konsil.federation.steps import (
    Abort,
    Aggregate,
    CallRoll,
    MakeRecipe,
    PublishBaselines,
    PublishCharter,
    Release,
    Role,
    StoreModel,
)
from konsil.federation.strategies.choice import ScaffoldChoice
from konsil.federation.strategies.contribution import Unusable, tensor_fault
from konsil.federation.strategies.scaffold import with_controls
from konsil.federation.strategies.site_rule import model_of
from konsil.parties.abilities import fit_learner, norms_of
from konsil.parties.merging import Bases, Merging, alone, specs_of
from konsil.parties.party import LearnerFor, Party
from konsil.parties.start import first_weights, given_model, start_facts
from konsil.parties.summary import summarise
from konsil.parties.summing import TooFewShares, Unopened
from konsil.parties.words import by_site, round_line, weighted
from konsil.parties.workflows import with_documents
from konsil.trust.roster import CENTRE
from konsil.types import Json, Tensors

log = logging.getLogger(__name__)


def _included(letters: Mapping[str, Letter]) -> Json:
    """What a global model and a roll say of the updates in them."""
    return {
        site: {"cases": letter.manifest.facts["cases"], "digest": letter.manifest.digest}
        for site, letter in letters.items()
    }


def listeners(holdings: Holdings, charter: Charter) -> list[str]:
    """The sites of the charter that did not refuse it; also those that are out for good, which have to hear that."""
    said = holdings.by_site(Kind.answer)
    return [site for site in charter.sites if site not in said or said[site].facts.get("accepted") is True]


class CentreParty(Party):
    """The centre of one run; its charter lies in `<home>/runs/<run>/charter.json`."""

    role: ClassVar[Role] = Role.CENTRE

    def __init__(self, home: Path, mailbox: Mailbox, learner_for: LearnerFor) -> None:
        super().__init__(home, mailbox, learner_for)
        self._bases = Bases()
        self.deeds = {
            PublishCharter: self.publish_charter,
            MakeRecipe: self.make_recipe,
            CallRoll: self.call_roll,
            Aggregate: self.aggregate,
            PublishBaselines: self.publish_baselines,
            Release: self.release,
            StoreModel: self.store_model,
            Abort: self.abort,
        }

    def charter(self) -> Charter:
        """The posted charter; before that, the operator's file."""
        return super().charter() or self.ledger.charter()

    def publish_charter(self, step: PublishCharter) -> None:
        """Post the operator's charter to everybody it names."""
        charter = with_documents(self.ledger.charter(), self.home)
        self.check_learners(charter)
        if charter.start is not None:
            given_model(charter.start, self.home, self.ledger.folder)
        facts = {"sites": list(charter.sites), "rounds": charter.rounds, "title": charter.title}
        if charter.secure_aggregation is not None:
            charter = charter.with_keys({site: self.mailbox.keys_of(site) for site in charter.sites})
        self._tell(Slot(Kind.charter, CENTRE), charter.model_dump(mode="json"), facts)
        log.info("charter of %s published for %s", self.run, ", ".join(charter.sites))

    def check_learners(self, charter: Charter) -> None:
        """Refuse a charter whose learner, at any of the sites, has unusable settings or cannot do what is asked."""
        for own in [charter, *(charter.seen_by(site) for site in charter.own_settings)]:
            fit_learner(own, self._learner_for(own))

    def make_recipe(self, step: MakeRecipe) -> None:
        """Merge the fingerprints, post the recipe, post the first weights (whichever of it is missing)."""
        if Slot(Kind.recipe, CENTRE) not in self._letters:
            letters = {site: self.letter(Kind.fingerprint, site) for site in step.sites}
            masking = self._masking_keys(letters)
            if masking is None:
                return
            recipe = self.learner.plan({site: self.mailbox.read_json(letter) for site, letter in letters.items()})
            cases = {site: letter.manifest.facts["cases"] for site, letter in letters.items()}
            facts = {"sites": list(step.sites), "cases": cases, "seed": self.rules.seed, **masking}
            facts |= {"recipe": recipe["sha256"]} if "sha256" in recipe else {}
            self._tell(Slot(Kind.recipe, CENTRE), recipe, facts)
            self.look()
        found = first_weights(self.rules.start, self.learner, self.recipe(), self.home, self.ledger.folder)
        first = with_controls(found.tensors) if isinstance(self.rules.rule, ScaffoldChoice) else found.tensors
        given = start_facts(self.rules.start, found)
        self._post_global(0, first, {"included": {}, "refused": {}, "missing": [], **given}, step.sites)
        log.info("recipe and first weights published for %s", ", ".join(step.sites))

    def _masking_keys(self, letters: Mapping[str, Letter]) -> Json | None:
        """What the recipe says of masking keys; nothing without secure aggregation. None: one was bad and is noted."""
        if self.rules.secure_aggregation is None:
            return {}
        for site, letter in letters.items():
            try:
                said, keys = letter.manifest.facts.get("masking"), self.rules.secure_aggregation.keys[site]
                vouched(said, run=self.run, site=site, keys=keys)
            except BadMessage as error:
                self._refuse(letter.slot, error.sentence)
                return None
        return {"masking": {site: letter.manifest.facts["masking"] for site, letter in letters.items()}}

    def _refuse_reveals(self, error: TooFewShares) -> None:
        """Note the reveals that are not good, so that the rules wait for others."""
        for slot, why in error.bad.items():
            self._refuse(slot, why)

    def call_roll(self, step: CallRoll) -> None:
        """Check the form of masked updates, add them up, and ask everybody to open the sum."""
        cases, merging = members(self.look(), self.rules), self._merging()
        letters = {site: self.letter(Kind.update, site, step.round) for site in step.sites}
        if self._refuses(step.round, letters, merging):
            return None
        try:
            content = merging.summing.called(step.round, letters)
        except Unusable as error:
            return self._refuse(letters[error.site].slot, error.sentence)
        slot, sites = Slot(Kind.roll, CENTRE, step.round), [site for site in cases if site not in self.going.gone]
        facts = {"included": _included(letters), "refused": dict(step.refused), "missing": list(step.missing)}
        facts |= {"gone": dict(step.gone)} if step.gone else {}
        self.mailbox.post_json(slot, content, recipients=[CENTRE, *sites], facts=facts)
        return log.info("round %d: the sum of %s waits to be opened", step.round, ", ".join(step.sites))

    def _merging(self) -> Merging:
        stays = norms_of(self.rules, self.learner, self.recipe())
        return Merging(self.mailbox, self.rules, self._letters, self.ledger.folder, stays, self._bases)

    def _refuses(self, number: int, letters: Mapping[str, Letter], merging: Merging) -> bool:
        """Whether one of the updates cannot be used, judged by its manifest; it is noted then."""
        cases = members(self.look(), self.rules)
        for site, letter in letters.items():
            if why := merging.fault(number, letter, most_cases=cases.get(site, 0)):
                self._refuse(letter.slot, why)
                return True
        return False

    def aggregate(self, step: Aggregate) -> None:
        """Check and average the updates of a round. An update that fails is noted; the rules then decide anew."""
        began = time.monotonic()
        before = self.letter(Kind.global_, round=step.round - 1)
        cases, merging = members(self.look(), self.rules), self._merging()
        letters = {site: self.letter(Kind.update, site, step.round) for site in step.sites}
        if self._refuses(step.round, letters, merging):
            return None
        try:
            tensors, rule = merging.combine(step.round, letters)
        except Unusable as error:
            return self._refuse(letters[error.site].slot, error.sentence)
        except TooFewShares as error:
            return self._refuse_reveals(error)
        except Unopened as error:
            return self._refuse(Slot(Kind.roll, CENTRE, step.round), error.sentence)
        included = _included(letters)
        facts: Json = {"included": included, "refused": dict(step.refused), "missing": list(step.missing)}
        facts |= {"opened": merging.opened} if merging.opened else {}
        facts["metrics"] = weighted({site: letter.manifest.facts for site, letter in letters.items()})
        facts |= {"gone": dict(step.gone)} if step.gone else {}
        facts |= {"remarks": rule.remarks} if rule.remarks else {}
        facts["seconds"] = round(time.monotonic() - began, 3)
        sites = tuple(site for site in cases if site not in self.going.gone)
        merging.keep(step.round, included, self._post_global(step.round, tensors, facts, sites), (tensors, rule))
        for site, remark in rule.remarks.items():
            log.warning("round %d: the update of %s %s", step.round, site, remark)
        self.sink.write(step.round, by_site({site: letter.manifest.facts for site, letter in letters.items()}))
        return log.info(round_line(step, self.going.end, letters, before.received))

    def publish_baselines(self, step: PublishBaselines) -> None:
        """Check the sites' local models and pass them on in one message, tensors named `<site>/<name>`."""
        specs = model_of(specs_of(self.letter(Kind.global_, round=0)))
        specs = with_tuned(specs, specs if self.rules.fine_tune else {})
        together: dict[str, Any] = {}
        for site in step.sites:
            letter = self.letter(Kind.baseline, site)
            if why := tensor_fault(specs_of(letter), specs):
                return self._refuse(letter.slot, why)
            try:
                local = alone(self.mailbox, site, letter, specs)
            except Unusable as error:
                return self._refuse(letter.slot, error.sentence)
            together |= {f"{site}/{name}": array for name, array in local.items()}
        slot, facts = Slot(Kind.baselines, CENTRE), {"sites": list(step.sites)}
        sites = [site for site in members(self.look(), self.rules) if site not in self.going.gone]
        self.mailbox.post_tensors(slot, together, recipients=[CENTRE, *sites], facts=facts)
        return log.info("local models passed on: %s", ", ".join(step.sites) or "none")

    def lacking(self) -> Json:
        """Under FedBN the centre has every tensor but the normalisation layers, which are still the first weights."""
        norms = norms_of(self.rules, self.learner, self.recipe())
        if not norms:
            return {}
        log.warning("the model stored here lacks the %d tensors that stay at the sites: not for use", len(norms))
        return {"lacks": list(norms), "note": "Not for use: these tensors are first weights; each site has its own."}

    def release(self, step: Release) -> None:
        """Post which model is the final one, and the figures of the run."""
        self._end("released")

    def abort(self, step: Abort) -> None:
        """Tell everybody why the run ends without a model."""
        if not step.announced:
            self._end("aborted", step.why)
            self.look()
        self.heard_abort(step)

    def _end(self, outcome: str, why: str = "") -> None:
        newest = self.look().latest_global()
        summary = summarise(self.mailbox, self.rules, self.letters, outcome=outcome, why=why)
        progress = summary["progress"]
        chosen = progress["released"] if outcome == "released" else newest
        model = None if chosen is None else self.letter(Kind.global_, round=chosen).manifest.digest
        content = {"outcome": outcome, "sentence": summary["sentence"], "round": chosen, "model": model}
        content |= {"last": newest, "best": progress["best"]}
        slot = Slot(Kind.final, CENTRE, self.going.final_round)
        self._tell(slot, {**content, "summary": summary}, content)
        log.info("%s: %s", outcome, summary["sentence"])

    def _refuse(self, slot: Slot, why: str) -> None:
        self.ledger.refuse(slot, why)
        log.warning("%s is refused: %s", slot, why)

    def _tell(self, slot: Slot, content: Json, facts: Json) -> None:
        """Post for everybody the charter names who neither refused it nor is out for good."""
        sites = listeners(self.look(), self.rules)
        gone = self.course.gone if self.course else {}
        self.mailbox.post_json(slot, content, recipients=[s for s in sites if s not in gone], facts=facts)

    def _post_global(self, number: int, tensors: Tensors, facts: Json, sites: tuple[str, ...]) -> Letter:
        slot = Slot(Kind.global_, CENTRE, number)
        return self.mailbox.post_tensors(slot, tensors, recipients=[CENTRE, *sites], facts=facts)
