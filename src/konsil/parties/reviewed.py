"""Whether the learner of a charter was reviewed, as this site sees it, and what follows (docs/formats/workflows.md).

`setting` is Settings.reviewed_only: True and False speak for themselves; None: where a reviewer was ever trusted.
"""

from __future__ import annotations

from konsil.errors import Refused
from konsil.federation.approval import LearnerMark
from konsil.federation.workflow import Verdict, credited, judged
from konsil.parties.records import learner_mark
from konsil.parties.reviewers import is_needed, trusted
from konsil.parties.site import SiteParty
from konsil.types import Json

CODE_ALONE = "No container image was compared, because Konsil runs in none here."
NOT_COMPARED = "That was not compared with the code that trains here."


def verdict_at(party: SiteParty, mark: LearnerMark | None) -> Verdict:
    """What the review in the charter is worth here, for the learner with this mark; None, for readers only: for any."""
    offer, known = party.rules.workflow, trusted(party.home)
    return credited(offer, known) if mark is None else judged(offer, mark, known)


def review_told(party: SiteParty, mark: LearnerMark | None, setting: bool | None) -> Json:
    """For a custodian: `words`; `refusal`, why this site may not accept (empty: it may); `lasting`: for good."""
    verdict = verdict_at(party, mark)
    more = NOT_COMPARED if mark is None else "" if mark.image else CODE_ALONE
    words = verdict.words if verdict.why or not more else f"{verdict.words} {more}"
    return {"words": words, "refusal": _refusal(party, verdict, setting), "lasting": verdict.lasting}


def checked_review(party: SiteParty, image: str, setting: bool | None) -> str | None:
    """The digest of the review that counts, None where none does. Refused, in words, where one is needed."""
    verdict = verdict_at(party, learner_mark(party.rules.learner.name, image))
    if refusal := _refusal(party, verdict, setting):
        hint = f'Refuse it with that reason (konsil decide {party.run} --refuse "…")'
        raise Refused(
            refusal, hint=hint if verdict.lasting else f"Have that put right, or: {hint[0].lower()}{hint[1:]}"
        )
    return verdict.digest or None


def _refusal(party: SiteParty, verdict: Verdict, setting: bool | None) -> str:
    if not verdict.why or not is_needed(party.home, setting):
        return ""
    return f"This site runs reviewed learners only: {verdict.why.rstrip('.')}."
