"""A site's deeds: answer, fingerprint, prepare, train, evaluate. Only numbers leave, and only for the centre."""

from __future__ import annotations

import logging
import math
import time
from functools import partial
from pathlib import Path

from konsil.errors import Diverged, Missing
from konsil.federation.fine_tuning import FineTuning, judged, parted, with_tuned
from konsil.federation.mailbox import Mailbox
from konsil.federation.noise import Noise, protected
from konsil.federation.progress import released_round
from konsil.federation.slot import Kind, Slot
from konsil.federation.steps import (
    Abort,
    Answer,
    Evaluate,
    Prepare,
    Reveal,
    SendFingerprint,
    Step,
    StoreModel,
    Train,
    TrainBaseline,
)
from konsil.parties.abilities import norms_of
from konsil.parties.given_away import GivenAway
from konsil.parties.merging import form_of, specs_of
from konsil.parties.outgoing import Message, Outgoing
from konsil.parties.own_models import keep_own, tested
from konsil.parties.participant import CohortFor, Participant
from konsil.parties.party import LearnerFor
from konsil.parties.tuning import tune
from konsil.parties.words import figures_line
from konsil.provenance import versions
from konsil.types import Json, Tensors

SPLITS = ("train", "validation", "test")
log = logging.getLogger(__name__)


class SiteParty(Participant):
    """One site of one run, which does what the rules tell it."""

    def __init__(
        self, home: Path, mailbox: Mailbox, learner_for: LearnerFor, cohort_for: CohortFor | None = None
    ) -> None:
        super().__init__(home, mailbox, learner_for, cohort_for)
        self.deeds = {
            Answer: self.answer,
            SendFingerprint: self.send_fingerprint,
            Prepare: self.prepare,
            Train: self.train,
            Reveal: self.reveal,
            TrainBaseline: self.train_baseline,
            Evaluate: self.evaluate,
            StoreModel: self.store_model,
            Abort: self.heard_abort,
        }

    def answer(self, step: Answer) -> None:
        """Tell the centre what the custodian decided, with the number of cases per split if it is yes."""
        decision = self.ledger.decision()
        if decision is None:
            raise Missing("The custodian has not decided", hint=f"Run: konsil decide {self.run} --accept --cohort NAME")
        accepted = bool(decision["accepted"])
        if accepted and self.is_masked:
            self.masking.check_keys()
        cases = {split: len(self.cohort().split(split)) for split in SPLITS} if accepted else {}
        content = {"accepted": accepted, "reason": decision["reason"], "cases": cases, "software": versions()}
        self._tell(Slot(Kind.answer, self.mailbox.me), content, {"accepted": accepted, "cases": cases})
        log.info("answered: %s", "accepted" if accepted else "refused")

    def send_fingerprint(self, step: SendFingerprint) -> None:
        """Post the learner's statistics of the training cases."""
        cases = len(self.cohort().split("train"))
        content = self.learner.fingerprint(self.cohort())
        facts = {"cases": cases} | ({"masking": self.masking.document()} if self.is_masked else {})
        self._tell(Slot(Kind.fingerprint, self.mailbox.me), content, facts)
        log.info("fingerprint of %d training cases sent", cases)

    def prepare(self, step: Prepare) -> None:
        """Preprocess with the common plan."""
        began = time.monotonic()
        self.learner.prepare(self.cohort(), self.recipe())
        self.ledger.keep_prepared(self.letter(Kind.recipe).manifest.digest)
        log.info("cohort prepared in %.1f s", time.monotonic() - began)

    def train(self, step: Train) -> None:
        """Train one round from the global model before it and post the update."""
        make = partial(self.trained, step.round)
        outgoing = Outgoing(self.ledger.folder / "outgoing")
        is_drawn = self.rules.privacy is not None or self.is_masked
        tensors, facts = outgoing.once(step.round, make) if is_drawn else make()
        self._send(Slot(Kind.update, self.mailbox.me, step.round), tensors, facts)
        self.sink.write(step.round, {**facts["metrics"], "seconds": facts["seconds"]})
        log.info("round %d of %d: %s", step.round, self.going.end, figures_line(facts["metrics"], facts["seconds"]))

    def trained(self, number: int) -> Message:
        """The update of a round as it is posted, and its facts."""
        base = self.letter(Kind.global_, round=number - 1)
        self.learner.prepare(self.cohort(), self.recipe())  # does nothing, unless somebody changed what it had made
        message, began = dict(self.message(number - 1)), time.monotonic()
        try:
            update = self.rounds(message).train(self.cohort(), message, number)
            metrics = {key: value for key, value in update.metrics.items() if math.isfinite(value)}
            self._check_dice(number, metrics)
        except Diverged as error:
            return self._gone_astray(number, error)
        facts = {"cases": update.cases, "steps": update.steps, "base": base.manifest.digest, "metrics": metrics}
        facts["seconds"] = round(time.monotonic() - began, 3)
        sent = self._protected(update.tensors, message)
        if self.is_masked:
            return self.masking.masked(self.letter(Kind.recipe), number, sent, message, update.cases), facts
        form = form_of(self.rules, specs_of(base), norms_of(self.rules, self.learner, self.recipe()))
        return form.written(sent, GivenAway(message)), facts

    def reveal(self, step: Reveal) -> None:
        """Help to open the sum of a round, once."""
        roll, mine = self.letter(Kind.roll, round=step.round), Slot(Kind.update, self.mailbox.me, step.round)
        content = self.masking.revealed(self.letter(Kind.recipe), roll, self._letters.get(mine))
        self._tell(Slot(Kind.reveal, self.mailbox.me, step.round), content, {"roll": roll.manifest.digest})
        log.info("round %d: helped to open the sum of %s", step.round, ", ".join(content["shares"]))

    def _check_dice(self, number: int, metrics: Json) -> None:
        """Raise Diverged if the Dice collapsed against this site's earlier rounds, as the charter defines it."""
        mine = [Slot(Kind.update, self.mailbox.me, earlier) for earlier in range(1, number)]
        before = [self._letters[slot].manifest.facts.get("metrics", {}) for slot in mine if slot in self._letters]
        if self.rules.divergence.collapsed(before, metrics):
            raise Diverged("dice", f"the Dice of round {number} collapsed", hint="Look at the cohort")

    def _gone_astray(self, number: int, error: Diverged) -> Message:
        """What is posted in place of an update: the global model as it was, no steps, and why."""
        log.warning("round %d is not handed in: %s", number, error.sentence)
        base, message = self.letter(Kind.global_, round=number - 1), self.message(number - 1)
        form = form_of(self.rules, specs_of(base), norms_of(self.rules, self.learner, self.recipe()))
        facts: Json = {"cases": len(self.cohort().split("train")), "steps": 0, "base": base.manifest.digest}
        facts |= {"metrics": {}, "diverged": error.kind, "seconds": 0.0}
        return form.written({name: message[name] for name in form.held(form.specs)}, message), facts

    def _protected(self, tensors: Tensors, message: Tensors) -> Tensors:
        """With noise, where the charter asks for it."""
        if self.rules.privacy is None:
            return tensors
        noised, length = protected(tensors, message, self.rules.privacy, Noise())
        log.info("the change had length %.6g; noise of %.6g is on every weight", length, self.rules.privacy.sigma)
        return noised

    def train_baseline(self, step: TrainBaseline) -> None:
        """Train alone from the first weights and post the model."""
        tensors, began = self.global_model(0), time.monotonic()
        trained = self.learner.baseline(self.cohort(), self.recipe(), tensors)
        if self.rules.fine_tune is not None:
            trained = with_tuned(trained, self._tuned(self.rules.fine_tune))
        seconds = round(time.monotonic() - began, 3)
        self._send(Slot(Kind.baseline, self.mailbox.me), trained, {"seconds": seconds})
        log.info("local model trained for comparison in %.1f s", seconds)

    def _tuned(self, rule: FineTuning) -> Tensors:
        """The run's result, trained on here."""
        last = self.going.last or 0
        final = self.model_at(released_round(self.look(), self.rules, last))
        return tune(self.learner, self.cohort(), self.recipe(), final, rule, last=last)

    def evaluate(self, step: Evaluate) -> None:
        """Test every model on the held-out cases. Cases are numbered by their place; no pseudonym leaves."""
        began = time.monotonic()
        last = self.going.last or 0
        chosen = released_round(self.look(), self.rules, last)
        content: Json = {"round": chosen, "federated": self._scores(self.model_at(chosen))}
        if (own := self.own_model_at(last)) is not None:
            content["personal"] = self._scores(own)
        content |= tested(self._local_models(), self._scores)
        seconds = round(time.monotonic() - began, 3)
        slot = Slot(Kind.evaluation, self.mailbox.me, last)
        self._tell(slot, content, {"cases": len(self.cohort().split("test")), "seconds": seconds})
        log.info("evaluated %d models in %.1f s", 1 + len(content["local"]), seconds)

    def store_model(self, step: Step) -> None:
        """Keep the released model, and beside it the site's own as `<run>-own` if the strategy has one."""
        last = self.going.last or 0
        if (own := self.own_model_at(last)) is not None:
            self._keep_own(own, {"run": self.run, "round": last, "own_model_of": self.mailbox.me})
        if self.rules.fine_tune is not None:
            self._keep_tuned(self.rules.fine_tune)
        super().store_model(step)
        if self.is_masked and not self.rules.extra_rounds:
            self.masking.forget()

    def heard_abort(self, step: Abort) -> None:
        """Keep the report; an aborted run is never taken up again."""
        super().heard_abort(step)
        if self.is_masked:
            self.masking.forget()

    def _keep_tuned(self, rule: FineTuning) -> None:
        """Keep the tuned model as `<run>-tuned`, if the other sites' tests say that it forgot little."""
        evaluation = self.mailbox.read_json(self.last_word())["summary"]["evaluation"]
        verdict = judged(self.mailbox.me, evaluation, rule)
        tuned = parted(self._local_models().get(self.mailbox.me, {}))[1]
        log.info("the fine-tuned model is %s: %s", "kept" if verdict.kept and tuned else "dropped", verdict.why)
        if verdict.kept and tuned:
            self._keep_own(tuned, {"run": self.run, "tuned_at": self.mailbox.me, **verdict.as_json()}, "tuned")

    def _keep_own(self, tensors: Tensors, card: Json, ending: str = "own") -> None:
        folder = self.ledger.model.with_name(f"{self.run}-{ending}")
        keep_own(self.learner, self.recipe(), tensors, folder, {f"{ending}.json": card})

    def _scores(self, tensors: Tensors) -> Json:
        cases = self.learner.evaluate(self.cohort(), self.recipe(), tensors, "test")
        return {"test": [case.as_json() for case in cases]}
