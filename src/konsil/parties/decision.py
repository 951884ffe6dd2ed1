"""The custodian's decision on a charter: what is proposed, and keeping the answer where the site party finds it.

A decision stands. An acceptance is checked against the cohort at once, so that a mistake is seen by the person who can
correct it and not by a task at night.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from konsil.cohort.folder import SiteFolder
from konsil.cohort.frozen import read_frozen
from konsil.errors import BadInput, Missing
from konsil.federation.charter import Charter
from konsil.federation.policy import Bound
from konsil.federation.slot import Kind, Slot
from konsil.federation.strategies.choice import AsymFedAvgChoice, Choice
from konsil.parties.abilities import fit
from konsil.parties.approvals import sign_approval, why_void
from konsil.parties.opening import open_site
from konsil.parties.policies import DAYS, covering, policies, sign_policy
from konsil.parties.records import cohort_mark, learner_mark
from konsil.parties.reviewed import checked_review, review_told
from konsil.parties.site import SiteParty
from konsil.parties.words import setting_rows
from konsil.parties.worker_mark import UNKNOWN, mark_for_reading
from konsil.trust.roster import CENTRE
from konsil.types import Json


@dataclass(frozen=True)
class Wish:
    """What a custodian wants of a standing policy; empty fields take those of the charter it is made of."""

    name: str = ""
    days: int = DAYS
    sites: tuple[str, ...] = ()
    bounds: Mapping[str, Bound] = field(default_factory=dict)


def party_at(home: Path, run: str) -> SiteParty:
    """This site in a run whose charter has arrived; Missing before that."""
    party = open_site(home, run)
    party.look()
    if party.charter() is None:
        raise Missing(f"No charter of {run} has arrived for this site", hint="Ask the centre, or look again later")
    return party


def proposal(home: Path, run: str, image: str = "", reviewed_only: bool | None = None) -> Json:
    """What a custodian reads before deciding: who, what, how long, what would leave the site, and whether a policy
    covers it. `image`, `reviewed_only`: the settings of these names."""
    party = party_at(home, run)
    charter, mark = party.rules, mark_for_reading(home, party.rules.learner.name, image)
    policy, outside = covering(home, charter, mark) if mark else (None, [UNKNOWN])
    return {
        "run": charter.run,
        "title": charter.title,
        "asked_by": asked_by(party),
        "sites": list(charter.sites),
        "learner": charter.learner.name,
        "learner_mark": mark.model_dump(mode="json") if mark else None,
        "learner_words": mark.words if mark else charter.learner.name,
        "review": review_told(party, mark, reviewed_only),
        "rounds": charter.rounds,
        "strategy": in_words(charter.rule),
        "data": charter.data.model_dump(mode="json"),
        "bounds": in_lines(charter),
        "settings": setting_rows(charter.learner.settings),
        "privacy": privacy_lines(charter),
        "first_weights": charter.start.sentence if charter.start else "",
        "what_leaves_the_site": charter.what_leaves_the_site(),
        "policy": policy.name if policy else "",
        "outside": outside,
        "decision": party.ledger.decision(),
        "void": why_void(party, mark),
    }


def asked_by(party: SiteParty) -> str:
    """Who signed the charter, so that it can be compared by phone."""
    keys = party.mailbox.keys_of(CENTRE)
    return f"the centre of this site's pass (fingerprint {keys.fingerprint})"


def in_lines(charter: Charter) -> list[str]:
    """How much and how long, in sentences."""
    more = f", and up to {charter.extra_rounds} more if the centre extends it" if charter.extra_rounds else ""
    return [
        f"{charter.rounds} rounds{more}.",
        f"A round closes with at least {charter.quorum.sites} of {len(charter.sites)} sites and "
        f"{charter.quorum.share_of_cases:.0%} of the cases.",
        f"Your answer is waited for until {spoken(charter.deadlines.answer_s)} after the charter came.",
    ]


def spoken(seconds: float) -> str:
    """A length of time in the largest unit of which it holds at least two, rounded down: "7 days", "30 minutes"."""
    units = (("days", 86400), ("hours", 3600), ("minutes", 60))
    name, size = next(((name, size) for name, size in units if seconds >= 2 * size), ("seconds", 1))
    return f"{int(seconds // size)} {name}"


def privacy_lines(charter: Charter) -> list[str]:
    """Which protections beyond encryption the charter asks for, or that it asks for none."""
    noise = charter.privacy.sentence(charter.rounds + charter.extra_rounds) if charter.privacy else ""
    secure = charter.secure_aggregation
    hidden = secure.sentence(len(charter.sites), charter.quorum.sites) if secure else ""
    nothing = "No noise and no secure aggregation: the centre sees each site's update."
    return [line for line in (noise, hidden) if line] or [nothing]


def in_words(rule: Choice) -> str:
    """A strategy with its parameters: `fedadam (learning_rate 0.1, beta_1 0.9 …)`; what is not set is left out."""
    given = rule.model_dump(mode="json", exclude={"name", "settings"}, exclude_none=True)
    told = [f"{name} {value:g}" for name, value in given.items()]
    if isinstance(rule, AsymFedAvgChoice) and rule.settings:
        told.append(f"own settings at {', '.join(rule.settings)}")
    return f"{rule.name} ({', '.join(told)})" if told else rule.name


def accept_charter(
    home: Path, run: str, *, cohort: str, by: str, image: str = "", standing: Wish | None = None, policy: str = "",
    reviewed_only: bool | None = None,
) -> Json:  # fmt: skip
    """Sign "accepted", with a frozen cohort that fits the charter, and a learner here that can. BadInput, Missing;
    Refused where the learner has to be reviewed here and was not.

    `standing`: also make a standing policy of it. `policy`: the name of the one that decided.
    """
    if not cohort or not by.strip():
        raise BadInput("An acceptance is not complete", expected="a frozen cohort (--cohort) and who decided (--by)")
    party = party_at(home, run)
    again = may_decide(party, image, accepted=True, cohort=cohort)
    review = checked_review(party, image, reviewed_only)
    fit(read_frozen(SiteFolder(home).cohort(cohort).frozen), party.rules)
    if party.is_masked:
        party.masking.check_keys()
    _ = party.learner  # refused in words where it cannot do what the strategy asks
    if standing is not None:
        make_standing(party, standing, cohort, by.strip(), image)  # first: if it is refused, nothing is decided
    used = next((one.digest for one in policies(home) if one.name == policy), None) if policy else None
    sign_approval(party, accepted=True, by=by.strip(), cohort=cohort, image=image, policy=used, review=review)
    return party.ledger.decide(accepted=True, by=by.strip(), cohort=cohort, policy=policy, again=again)


def make_standing(party: SiteParty, wish: Wish, cohort: str, by: str, image: str) -> None:
    """Sign a policy that accepts what is asked now, with the cohort as it is now."""
    learner, chosen = learner_mark(party.rules.learner.name, image), cohort_mark(party.home, cohort)
    if chosen is None:
        raise Missing(f"There is no frozen cohort {cohort}")
    sign_policy(
        party.home, party.rules, learner=learner, cohort=chosen, by=by,
        name=wish.name, days=wish.days, sites=wish.sites, bounds=wish.bounds,
    )  # fmt: skip


def accept_by_policy(home: Path, run: str, *, image: str = "", reviewed_only: bool | None = None) -> Json:
    """Sign "accepted" where a standing policy covers the charter; BadInput says what lies outside where none does."""
    party = party_at(home, run)
    found, outside = covering(home, party.rules, learner_mark(party.rules.learner.name, image))
    if found is None or found.policy is None:
        raise BadInput(
            f"No standing policy covers {run}", got=" ".join(outside) or "no policy", hint="A custodian has to decide"
        )
    return accept_charter(
        home, run, cohort=found.policy.cohort.name, by=found.policy.by, image=image, policy=found.name,
        reviewed_only=reviewed_only,
    )  # fmt: skip


def refuse_charter(home: Path, run: str, *, reason: str, by: str, image: str = "") -> Json:
    """Sign "refused" with its reason, which the centre will read. BadInput, Missing."""
    if not reason.strip() or not by.strip():
        raise BadInput("A refusal is not complete", expected="a reason and who decided (--by)")
    party = party_at(home, run)
    again = may_decide(party, image, accepted=False)
    sign_approval(party, accepted=False, by=by.strip(), reason=reason.strip(), image=image)
    return party.ledger.decide(accepted=False, by=by.strip(), reason=reason.strip(), again=again)


def may_decide(party: SiteParty, image: str, *, accepted: bool, cohort: str | None = None) -> bool:
    """Whether an earlier decision is void and makes room; BadInput where one stands that says something else."""
    earlier = party.ledger.decision()
    if earlier is None:
        return False
    void = bool(why_void(party, learner_mark(party.rules.learner.name, image)))
    if not void and (earlier["accepted"], earlier.get("cohort")) != (accepted, cohort):
        raise BadInput(f"The charter of {party.run} was decided on already", hint="A decision cannot be changed")
    if void and not accepted and earlier["accepted"]:
        answered = Slot(Kind.answer, party.mailbox.me)
        if party.mailbox.letter(answered) is not None:
            what = f"This site has accepted {party.run} before, and the centre knows"
            raise BadInput(what, hint=f"Run: konsil leave {party.run}")
    return void
