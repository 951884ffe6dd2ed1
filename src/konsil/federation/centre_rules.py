"""What the centre does next, and which sites are worth waiting for.

Active in a round is who took part in the round before (also with an update that had to be refused), or wrote anything
since. Round 1 expects every site of the recipe. Who has left is not expected from that moment on, and what it sent
before counts; who was excluded or revoked is out of everything that is not posted yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from konsil.federation import divergence
from konsil.federation.charter import Charter
from konsil.federation.course import Course
from konsil.federation.holdings import Holdings, Note
from konsil.federation.pace import least_below_quorum_s, round_limit_s
from konsil.federation.quorum import Call, Closed, Failed, Open, shortfall
from konsil.federation.slot import Kind, Slot
from konsil.federation.steps import Abort, Aggregate, CallRoll, MakeRecipe, Phase, PublishBaselines, Release, Step, Wait
from konsil.trust.roster import CENTRE


def next_at_centre(holdings: Holdings, charter: Charter, course: Course, now: datetime) -> Step:
    """The next step of the centre, whose charter is posted and whose run has not ended."""
    newest = holdings.latest_global()
    if newest is None:
        return _gathering(holdings, charter, course, now)
    if course.last is None:
        return _round(holdings, charter, course, newest + 1, now)
    return _evaluation(holdings, charter, course, now)


def _gathering(holdings: Holdings, charter: Charter, course: Course, now: datetime) -> Step:
    """Answers, then fingerprints, then the recipe."""
    recipe, opened = holdings.note(Kind.recipe), holdings.note(Kind.charter)
    if recipe is not None:  # posted, but the first weights are not
        return MakeRecipe(tuple(recipe.facts.get("sites", ())))
    answers = _answers(holdings, charter, course, opened.at if opened else now)
    state = answers.state(now)
    if isinstance(state, Open):
        silent = [site for site in answers.sites if site not in answers.answers]
        return Wait(Phase.ANSWERS, f"for the answers of {', '.join(silent) or 'more sites'}", state.until)
    if isinstance(state, Failed):
        return Abort(f"Too few sites accepted the charter: {state.why}")
    return _fingerprints(holdings, charter, course, state, now)


def _answers(holdings: Holdings, charter: Charter, course: Course, opened: datetime) -> Call:
    came = holdings.by_site(Kind.answer)
    sites = tuple(site for site in charter.sites if site not in course.shut_out)
    return Call(
        sites=sites,
        opened=opened,
        limit_s=charter.deadlines.answer_s,
        answers={site: note.at for site, note in came.items() if site in sites},
        expected=lambda moment: sites,
        short=lambda found: shortfall(charter.quorum, found),
        unusable=frozenset(site for site, note in came.items() if note.facts.get("accepted") is not True),
        after=course.after,
    )


def _fingerprints(holdings: Holdings, charter: Charter, course: Course, accepted: Closed, now: datetime) -> Step:
    came = holdings.by_site(Kind.fingerprint)
    call = _called(
        course,
        came,
        sites=accepted.sites,
        opened=accepted.at,
        limit_s=charter.deadlines.fingerprint_s,
        short=lambda sites: shortfall(charter.quorum, sites),
        unusable=frozenset(
            site for site, note in came.items() if _count(note) < 1 or Slot(Kind.fingerprint, site) in holdings.refused
        ),
    )
    state = call.state(now)
    if isinstance(state, Open):
        silent = [site for site in call.expected(now) if site not in call.answers]
        return Wait(Phase.RECIPE, f"for the fingerprints of {', '.join(silent) or 'more sites'}", state.until)
    if isinstance(state, Failed):
        return Abort(f"Too few sites sent a fingerprint: {state.why}")
    return MakeRecipe(state.sites)


def _called(course: Course, came: Mapping[str, Note], *, sites: tuple[str, ...], **rest: Any) -> Call:
    """A call to those of `sites` that are not out: a site that left is expected until then, and what it sent counts."""
    kept = {site: note.at for site, note in came.items() if not course.has_left(site, note.at)}
    called = [site for site in sites if site not in course.shut_out and (site in kept or site not in course.left)]
    expected = rest.pop("expected", lambda moment: sites)
    return Call(
        sites=tuple(called),
        answers={site: kept[site] for site in called if site in kept},
        expected=lambda moment: tuple(
            site for site in expected(moment) if site not in course.shut_out and not course.has_left(site, moment)
        ),
        turns=tuple(course.left.values()),
        after=course.after,
        **rest,
    )


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
    everyone = tuple(members(holdings, charter))
    before = holdings.note(Kind.global_, round=round_number - 1)
    if before is None or round_number == 1:
        return everyone
    took_part = {*before.facts.get("included", {}), *before.facts.get("refused", {})}
    return tuple(s for s in everyone if s in took_part or holdings.wrote_between(s, before.at, moment))


def _call(holdings: Holdings, charter: Charter, course: Course, slot: Slot, limit_s: float, opened: datetime) -> Call:
    """A call to all members for one kind of message; of `slot`, kind and round are asked for."""
    cases, in_round = members(holdings, charter), slot.kind == Kind.update
    asked = slot.round if in_round and slot.round else 1 + (holdings.latest_global() or 0)
    return _called(
        course,
        holdings.by_site(slot.kind, slot.round),
        sites=tuple(cases),
        opened=opened,
        limit_s=limit_s,
        least_s=least_below_quorum_s(charter) if in_round else 0.0,
        expected=lambda moment: active(holdings, charter, asked, moment),
        short=lambda sites: shortfall(charter.quorum, sites, cases) if in_round else "",
        unusable=frozenset(site for site in cases if Slot(slot.kind, site, slot.round) in holdings.refused),
    )


def _round(holdings: Holdings, charter: Charter, course: Course, number: int, now: datetime) -> Step:
    before = holdings.note(Kind.global_, round=number - 1)
    opened = course.opened(number, before.at) if before else now
    limit_s = round_limit_s(holdings, charter, course, number, opened)
    limit_s += charter.deadlines.prepare_s if number == 1 else 0
    if charter.secure_aggregation is not None and (roll := holdings.note(Kind.roll, round=number)) is not None:
        return _opening(holdings, charter, course, number, roll, now)
    call = _call(holdings, charter, course, Slot(Kind.update, "", number), limit_s, opened)
    state = call.state(now)
    if isinstance(state, Failed):
        return Abort(f"Round {number} of {course.end} stayed below the quorum: {state.why}")
    if isinstance(state, Open):
        silent = [site for site in call.expected(now) if site not in call.answers]
        why = f"for the updates of {', '.join(silent) or 'more sites'} in round {number} of {course.end}"
        return Wait(Phase.ROUNDS, why, state.until, number)
    refused = {site: holdings.refused[Slot(Kind.update, site, number)] for site in call.sites if site in call.unusable}
    if charter.divergence.then == "stop" and (astray := _astray(holdings, number)):
        return Abort(f"In round {number} of {course.end}, " + "; ".join(f"{s}: {why}" for s, why in astray.items()))
    missing = tuple(site for site in call.sites if site not in state.sites and site not in refused)
    out = {site: how for site, how in course.gone.items() if site not in {*state.sites, *refused}}
    gone = {site: out[site] for site in members(holdings, charter) if site in out}
    deed = Aggregate if charter.secure_aggregation is None else CallRoll
    return deed(number, state.sites, tuple(site for site in missing if site not in gone), refused, gone)


def _opening(holdings: Holdings, charter: Charter, course: Course, number: int, roll: Note, now: datetime) -> Step:
    """The sum of a round is fixed by its roll; it waits for as many sites as it takes to open it, whoever they are."""
    if why := holdings.refused.get(Slot(Kind.roll, CENTRE, number)):
        return Abort(f"The sum of round {number} cannot be used: {why}")
    needed, came = charter.secure_needed, holdings.by_site(Kind.reveal, number)
    before = holdings.note(Kind.global_, round=number - 1)
    call = Call(
        sites=tuple(s for s in members(holdings, charter) if s in came or s not in {*course.shut_out, *course.left}),
        opened=roll.at,
        limit_s=round_limit_s(holdings, charter, course, number, before.at if before else roll.at),
        least_s=least_below_quorum_s(charter),
        answers={site: note.at for site, note in came.items()},
        expected=lambda moment: (),
        short=lambda sites: "" if len(sites) >= needed else f"{len(sites)} of at least {needed} sites helped",
        unusable=frozenset(
            slot.sender for slot in holdings.refused if (slot.kind, slot.round) == (Kind.reveal, number)
        ),
        after=course.after,
    )
    state = call.state(now)
    if isinstance(state, Failed):
        return Abort(f"The sum of round {number} of {course.end} cannot be opened: {state.why}")
    if isinstance(state, Open):
        return Wait(
            Phase.ROUNDS, f"for {needed} sites to open the sum of round {number} of {course.end}", state.until, number
        )
    said = roll.facts
    summed = tuple(site for site in charter.sites if site in said["included"])
    return Aggregate(number, summed, tuple(said.get("missing", ())), said.get("refused", {}), said.get("gone", {}))


def _astray(holdings: Holdings, number: int) -> dict[str, str]:
    """Sites that say that their training of a round diverged, with the reason."""
    told = {site: divergence.reason(note.facts) for site, note in holdings.by_site(Kind.update, number).items()}
    return {site: why for site, why in told.items() if why}


def _evaluation(holdings: Holdings, charter: Charter, course: Course, now: datetime) -> Step:
    """Local models, if the charter wants them; then the scores; then the release."""
    newest = holdings.note(Kind.global_, round=course.last)
    opened = newest.at if newest else now
    if charter.compare_with_local:
        shared = holdings.note(Kind.baselines)
        if shared is None:
            return _baselines(holdings, charter, course, opened, now)
        opened = max(opened, shared.at)
    slot = Slot(Kind.evaluation, "", course.last)
    call = _call(holdings, charter, course, slot, charter.deadlines.evaluation_s, opened)
    state = call.state(now)
    if isinstance(state, Open):
        return Wait(Phase.EVALUATION, "for the evaluations", state.until, course.last)
    came = state.sites if isinstance(state, Closed) else ()
    return Release(tuple(site for site in call.sites if site not in came))


def _baselines(holdings: Holdings, charter: Charter, course: Course, opened: datetime, now: datetime) -> Step:
    call = _call(holdings, charter, course, Slot(Kind.baseline, ""), charter.deadlines.baseline_s, opened)
    state = call.state(now)
    if isinstance(state, Open):
        return Wait(Phase.EVALUATION, "for the local models", state.until, course.last)
    return PublishBaselines(state.sites if isinstance(state, Closed) else ())
