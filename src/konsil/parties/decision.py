"""The custodian's decision on a charter: what is proposed, and keeping the answer where the site party finds it.

A decision stands. An acceptance is checked against the cohort at once, so that a mistake is seen by the person who can
correct it and not by a task at night.
"""

from __future__ import annotations

from pathlib import Path

from konsil.cohort.folder import SiteFolder
from konsil.cohort.frozen import read_frozen
from konsil.errors import BadInput, Missing
from konsil.federation.charter import Charter
from konsil.federation.strategies.choice import AsymFedAvgChoice, Choice
from konsil.parties.abilities import fit
from konsil.parties.ledger import Ledger
from konsil.parties.opening import open_site
from konsil.parties.site import SiteParty
from konsil.types import Json


def charter_at(home: Path, run: str) -> Charter:
    """The charter of a run as this site received it; Missing while it has not arrived."""
    return party_at(home, run).rules


def party_at(home: Path, run: str) -> SiteParty:
    """This site in a run whose charter has arrived; Missing before that."""
    party = open_site(home, run)
    party.look()
    if party.charter() is None:
        raise Missing(f"No charter of {run} has arrived for this site", hint="Ask the centre, or look again later")
    return party


def proposal(home: Path, run: str) -> Json:
    """What a custodian reads before deciding: who, what, how long, and what would leave the site."""
    charter = charter_at(home, run)
    return {
        "run": charter.run,
        "title": charter.title,
        "sites": list(charter.sites),
        "learner": charter.learner.name,
        "rounds": charter.rounds,
        "strategy": in_words(charter.rule),
        "data": charter.data.model_dump(mode="json"),
        "first_weights": charter.start.sentence if charter.start else "",
        "what_leaves_the_site": charter.what_leaves_the_site(),
        "decision": Ledger(home, run).decision(),
    }


def in_words(rule: Choice) -> str:
    """A strategy with its parameters: `fedadam (learning_rate 0.1, beta_1 0.9 …)`; what is not set is left out."""
    given = rule.model_dump(mode="json", exclude={"name", "settings"}, exclude_none=True)
    told = [f"{name} {value:g}" for name, value in given.items()]
    if isinstance(rule, AsymFedAvgChoice) and rule.settings:
        told.append(f"own settings at {', '.join(rule.settings)}")
    return f"{rule.name} ({', '.join(told)})" if told else rule.name


def accept_charter(home: Path, run: str, *, cohort: str, by: str) -> Json:
    """Keep "accepted", with a frozen cohort that fits the charter, and a learner here that can. BadInput, Missing."""
    if not cohort or not by.strip():
        raise BadInput("An acceptance is not complete", expected="a frozen cohort (--cohort) and who decided (--by)")
    party = party_at(home, run)
    fit(read_frozen(SiteFolder(home).cohort(cohort).frozen), party.rules)
    if party.is_masked:
        party.masking.check_keys()
    _ = party.learner  # refused in words where it cannot do what the strategy asks
    return Ledger(home, run).decide(accepted=True, by=by.strip(), cohort=cohort)


def refuse_charter(home: Path, run: str, *, reason: str, by: str) -> Json:
    """Keep "refused" with its reason, which the centre will read. BadInput, Missing."""
    if not reason.strip() or not by.strip():
        raise BadInput("A refusal is not complete", expected="a reason and who decided (--by)")
    charter_at(home, run)
    return Ledger(home, run).decide(accepted=False, by=by.strip(), reason=reason.strip())
