"""What the centre does next, and which sites are worth waiting for.

Active in a round is who took part in the round before (also with an update that had to be refused), or wrote anything
since. Round 1 expects every site of the recipe. A revoked site is not expected at all.
"""

from __future__ import annotations

from datetime import datetime

from konsil.federation.charter import Charter
from konsil.federation.holdings import Holdings, Note
from konsil.federation.quorum import Call, Closed, Failed, Open, shortfall
from konsil.federation.slot import Kind, Slot
from konsil.federation.steps import Abort, Aggregate, MakeRecipe, Phase, PublishBaselines, Release, Step, Wait


def next_at_centre(holdings: Holdings, charter: Charter, now: datetime) -> Step:
    """The next step of the centre, whose charter is posted and whose run has not ended."""
    newest = holdings.latest_global()
    if newest is None:
        return _gathering(holdings, charter, now)
    if newest < charter.rounds:
        return _round(holdings, charter, newest + 1, now)
    return _evaluation(holdings, charter, now)


def _gathering(holdings: Holdings, charter: Charter, now: datetime) -> Step:
    """Answers, then fingerprints, then the recipe."""
    recipe, opened = holdings.note(Kind.recipe), holdings.note(Kind.charter)
    if recipe is not None:  # posted, but the first weights are not
        return MakeRecipe(tuple(recipe.facts.get("sites", ())))
    answers = _answers(holdings, charter, opened.at if opened else now)
    state = answers.state(now)
    if isinstance(state, Open):
        silent = [site for site in charter.sites if site not in answers.answers]
        return Wait(Phase.ANSWERS, f"for the answers of {', '.join(silent) or 'more sites'}", state.until)
    if isinstance(state, Failed):
        return Abort(f"Too few sites accepted the charter: {state.why}")
    return _fingerprints(holdings, charter, state, now)


def _answers(holdings: Holdings, charter: Charter, opened: datetime) -> Call:
    came = holdings.by_site(Kind.answer)
    return Call(
        sites=charter.sites,
        opened=opened,
        limit_s=charter.deadlines.answer_s,
        answers={site: note.at for site, note in came.items() if site in charter.sites},
        expected=lambda moment: tuple(site for site in charter.sites if site not in holdings.revoked),
        short=lambda sites: shortfall(charter.quorum, sites),
        unusable=frozenset(site for site, note in came.items() if note.facts.get("accepted") is not True),
    )


def _fingerprints(holdings: Holdings, charter: Charter, accepted: Closed, now: datetime) -> Step:
    came = holdings.by_site(Kind.fingerprint)
    call = Call(
        sites=accepted.sites,
        opened=accepted.at,
        limit_s=charter.deadlines.fingerprint_s,
        answers={site: note.at for site, note in came.items() if site in accepted.sites},
        expected=lambda moment: tuple(site for site in accepted.sites if site not in holdings.revoked),
        short=lambda sites: shortfall(charter.quorum, sites),
        unusable=frozenset(site for site, note in came.items() if _count(note) < 1),
    )
    state = call.state(now)
    if isinstance(state, Open):
        silent = [site for site in accepted.sites if site not in call.answers]
        return Wait(Phase.RECIPE, f"for the fingerprints of {', '.join(silent) or 'more sites'}", state.until)
    if isinstance(state, Failed):
        return Abort(f"Too few sites sent a fingerprint: {state.why}")
    return MakeRecipe(state.sites)


def _count(note: Note) -> int:
    """Training cases a site announces; 0 if it announces none."""
    cases = note.facts.get("cases")
    return cases if isinstance(cases, int) and not isinstance(cases, bool) else 0


def members(holdings: Holdings, charter: Charter) -> dict[str, int]:
    """The sites of the recipe in charter order, with their training cases."""
    recipe = holdings.note(Kind.recipe)
    cases = recipe.facts.get("cases", {}) if recipe else {}
    return {site: int(cases[site]) for site in charter.sites if site in cases}


def active(holdings: Holdings, charter: Charter, round_number: int, moment: datetime) -> tuple[str, ...]:
    """Sites worth waiting for in `round_number`, as known at `moment`; beyond the last round: in the evaluation."""
    everyone = tuple(site for site in members(holdings, charter) if site not in holdings.revoked)
    before = holdings.note(Kind.global_, round=round_number - 1)
    if before is None or round_number == 1:
        return everyone
    took_part = {*before.facts.get("included", {}), *before.facts.get("refused", {})}
    return tuple(s for s in everyone if s in took_part or holdings.wrote_between(s, before.at, moment))


def _call(holdings: Holdings, charter: Charter, slot_kind: Kind, slot_round: int | None, opened: datetime) -> Call:
    """A call to all members for one kind of message, in the round `slot_round` (None: after the last round)."""
    cases = members(holdings, charter)
    came = holdings.by_site(slot_kind, slot_round)
    in_round = slot_kind == Kind.update
    limits = charter.deadlines
    limit_s = {Kind.update: limits.round_s, Kind.baseline: limits.baseline_s}.get(slot_kind, limits.evaluation_s)
    asked = slot_round if in_round and slot_round else charter.rounds + 1
    return Call(
        sites=tuple(cases),
        opened=opened,
        limit_s=limit_s + (limits.prepare_s if in_round and slot_round == 1 else 0),
        answers={site: note.at for site, note in came.items() if site in cases},
        expected=lambda moment: active(holdings, charter, asked, moment),
        short=lambda sites: shortfall(charter.quorum, sites, cases) if in_round else "",
        unusable=frozenset(site for site in cases if Slot(slot_kind, site, slot_round) in holdings.refused),
    )


def _round(holdings: Holdings, charter: Charter, number: int, now: datetime) -> Step:
    before = holdings.note(Kind.global_, round=number - 1)
    call = _call(holdings, charter, Kind.update, number, before.at if before else now)
    state = call.state(now)
    if isinstance(state, Failed):
        return Abort(f"Round {number} of {charter.rounds} stayed below the quorum: {state.why}")
    if isinstance(state, Open):
        silent = [site for site in call.expected(now) if site not in call.answers]
        why = f"for the updates of {', '.join(silent) or 'more sites'} in round {number} of {charter.rounds}"
        return Wait(Phase.ROUNDS, why, state.until, number)
    refused = {site: holdings.refused[Slot(Kind.update, site, number)] for site in call.sites if site in call.unusable}
    missing = tuple(site for site in call.sites if site not in state.sites and site not in refused)
    return Aggregate(number, state.sites, missing, refused)


def _evaluation(holdings: Holdings, charter: Charter, now: datetime) -> Step:
    """Local models, if the charter wants them; then the scores; then the release."""
    last = holdings.note(Kind.global_, round=charter.rounds)
    opened = last.at if last else now
    if charter.compare_with_local:
        shared = holdings.note(Kind.baselines)
        if shared is None:
            return _baselines(holdings, charter, opened, now)
        opened = shared.at
    call = _call(holdings, charter, Kind.evaluation, charter.rounds, opened)
    state = call.state(now)
    if isinstance(state, Open):
        return Wait(Phase.EVALUATION, "for the evaluations", state.until, charter.rounds)
    came = state.sites if isinstance(state, Closed) else ()
    return Release(tuple(site for site in call.sites if site not in came))


def _baselines(holdings: Holdings, charter: Charter, opened: datetime, now: datetime) -> Step:
    call = _call(holdings, charter, Kind.baseline, None, opened)
    state = call.state(now)
    if isinstance(state, Open):
        return Wait(Phase.EVALUATION, "for the local models", state.until, charter.rounds)
    return PublishBaselines(state.sites if isinstance(state, Closed) else ())
