"""The centre's deeds: publish the charter, make the recipe, average, pass local models on, release, or say why not."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any, ClassVar

from konsil.federation.centre_rules import members
from konsil.federation.charter import Charter
from konsil.federation.holdings import Holdings
from konsil.federation.mailbox import Letter, Mailbox
from konsil.federation.slot import Kind, Slot
from konsil.federation.steps import (
    Abort,
    Aggregate,
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
from konsil.parties.summary import summarise
from konsil.parties.words import round_line, weighted
from konsil.trust.roster import CENTRE
from konsil.types import Json, Tensors

log = logging.getLogger(__name__)


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
        charter = self.ledger.charter()
        self.check_learners(charter)
        facts = {"sites": list(charter.sites), "rounds": charter.rounds, "title": charter.title}
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
            recipe = self.learner.plan({site: self.mailbox.read_json(letter) for site, letter in letters.items()})
            cases = {site: letter.manifest.facts["cases"] for site, letter in letters.items()}
            facts = {"sites": list(step.sites), "cases": cases, "seed": self.rules.seed}
            self._tell(Slot(Kind.recipe, CENTRE), recipe, facts)
            self.look()
        first = self.learner.initial(self.recipe())
        if isinstance(self.rules.rule, ScaffoldChoice):
            first = with_controls(first)
        self._post_global(0, first, {"included": {}, "refused": {}, "missing": []}, step.sites)
        log.info("recipe and first weights published for %s", ", ".join(step.sites))

    def aggregate(self, step: Aggregate) -> None:
        """Check and average the updates of a round. An update that fails is noted; the rules then decide anew."""
        began = time.monotonic()
        before = self.letter(Kind.global_, round=step.round - 1)
        cases = members(self.look(), self.rules)
        letters = {site: self.letter(Kind.update, site, step.round) for site in step.sites}
        stays = norms_of(self.rules, self.learner, self.recipe())
        merging = Merging(self.mailbox, self.rules, self._letters, self.ledger.folder, stays, self._bases)
        for site, letter in letters.items():
            if why := merging.fault(step.round, letter, most_cases=cases.get(site, 0)):
                return self._refuse(letter.slot, why)
        weights = {site: letter.manifest.facts["cases"] for site, letter in letters.items()}
        try:
            tensors, rule = merging.combine(step.round, letters)
        except Unusable as error:
            return self._refuse(letters[error.site].slot, error.sentence)
        included = {
            site: {"cases": weights[site], "digest": letter.manifest.digest} for site, letter in letters.items()
        }
        facts = {"included": included, "refused": dict(step.refused), "missing": list(step.missing)}
        facts["metrics"] = weighted({site: letter.manifest.facts for site, letter in letters.items()})
        facts |= {"gone": dict(step.gone)} if step.gone else {}
        facts |= {"remarks": rule.remarks} if rule.remarks else {}
        facts["seconds"] = round(time.monotonic() - began, 3)
        sites = tuple(site for site in cases if site not in self.going.gone)
        merging.keep(step.round, included, self._post_global(step.round, tensors, facts, sites), (tensors, rule))
        for site, remark in rule.remarks.items():
            log.warning("round %d: the update of %s %s", step.round, site, remark)
        return log.info(round_line(step, self.going.end, letters, before.received))

    def publish_baselines(self, step: PublishBaselines) -> None:
        """Check the sites' local models and pass them on in one message, tensors named `<site>/<name>`."""
        specs = model_of(specs_of(self.letter(Kind.global_, round=0)))
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
        summary = summarise(self.mailbox, self.rules, outcome=outcome, why=why)
        newest, progress = self.look().latest_global(), summary["progress"]
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
