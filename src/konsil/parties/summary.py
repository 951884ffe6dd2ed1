"""The figures of a run, made from what lies in the mailbox: `summary.json`, and the ground of the report.

    sentence, outcome              how it ended, in words
    progress                       planned, last, best, released (rounds), metric, figures {round: weighted mean}
    start                          the first weights in a line, where the charter starts from a given model
    operator[]                     what the operator said: number, at, action, why, site, rounds, after
    participation.<site>           answer, cases (training), rounds, missed, refused {round: reason}, gone ("left",
                                   "excluded", "revoked" or ""), stayed (rounds made before that)
    rounds[]                       per site: cases, steps, metrics, work_s (training), turnaround_s (from the global
                                   model to the update), waited_s (from the update to the next global model);
                                   remarks {site: what the strategy did to its update}
    evaluation.<site>              figures on that site's test patients: federated, local.<trained at>, and personal
                                   where the strategy gives the site a second model,
                                   tuned.<tuned at> where the charter wants fine-tuning
    without_scores                 sites of the run whose evaluation is not there (or cannot be read from here)
    dice                           means: federated.<site>, local.<trained at>.<tested at>, perhaps personal.<site>
                                   and tuned.<tuned at>.<tested at>
    fine_tuning.<site>             where the charter wants it: whether the site keeps its tuned model (kept, tuned,
                                   federated, why)

What sites wrote is checked before it is counted; a score that is no number between 0 and 1 makes its message unusable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from konsil.errors import BadMessage
from konsil.evaluation.metrics import MEASURES, CaseMetrics
from konsil.evaluation.metrics import summarise as summarise_cases
from konsil.federation.centre_rules import members
from konsil.federation.charter import Charter
from konsil.federation.control import Control, controls
from konsil.federation.course import Course, course_of
from konsil.federation.fine_tuning import judged
from konsil.federation.holdings import Holdings, notes_of
from konsil.federation.mailbox import Letter, Mailbox
from konsil.federation.outcome import Part, choice_of, participation, sentence
from konsil.federation.progress import best_of, figures, metric, released_round
from konsil.federation.slot import Kind, Slot
from konsil.parties.words import number_table, taken_line, weighted
from konsil.trust.roster import CENTRE
from konsil.types import Json

FORMAT = "konsil.summary/1"


def summarise(
    mailbox: Mailbox, charter: Charter, letters: Mapping[Slot, Letter], *, outcome: str = "running", why: str = ""
) -> Json:
    """The figures so far, of the `letters` that were just looked at. A site can read its own and the centre's alone."""
    holdings = Holdings(mailbox.me, notes_of(letters.values()))
    course = course_of(holdings, charter)
    parts = participation(holdings, charter)
    done = holdings.latest_global() or 0
    refused = [{"message": refusal.slot, "why": refusal.sentence} for refusal in mailbox.refused]
    progress = _progress(holdings, charter, course)
    evaluation = _evaluation(mailbox, letters, charter, done, refused)
    return {
        "format": FORMAT,
        "run": charter.run,
        "title": charter.title,
        "outcome": outcome,
        "sentence": sentence(
            parts, done, outcome=outcome, why=why, choice=choice_of(progress) if outcome == "released" else ""
        ),
        "progress": progress,
        **_start(holdings, charter),
        "operator": [_word(word) for word in controls(holdings)],
        "sites": list(charter.sites),
        "charter": charter.model_dump(mode="json"),
        "participation": {site: _part(part, members(holdings, charter).get(site)) for site, part in parts.items()},
        "rounds": [_round(holdings, number) for number in range(1, done + 1)],
        "evaluation": evaluation,
        "without_scores": [site for site in members(holdings, charter) if site not in evaluation],
        "dice": dice_table(evaluation),
        **_fine_tuning(evaluation, charter),
        "refused": refused,
        "software": _software(letters, charter),
        "began": _moment(letters, first=True),
        "ended": _moment(letters, first=False),
    }


def completed(told: Json, holdings: Holdings, charter: Charter) -> Json:
    """A released summary with every field of today; where an earlier version told less, the messages tell the rest."""
    parts = {site: {"gone": "", "stayed": len(part["rounds"]), **part} for site, part in told["participation"].items()}
    progress = _progress(holdings, charter, course_of(holdings, charter))
    operator = [_word(word) for word in controls(holdings)]
    return {"progress": progress, "operator": operator, **told, "participation": parts}


def _progress(holdings: Holdings, charter: Charter, course: Course) -> Json:
    """Where the rounds stand: which were planned, which ended training, which was best by which metric, the result."""
    found, name = figures(holdings, charter), metric(holdings, charter)
    best = best_of(found)
    sign = -1.0 if name.endswith("loss") else 1.0
    return {
        "planned": course.end,
        "last": course.last,
        "best": best,
        "metric": name or None,
        "figures": {str(number): sign * value for number, value in found.items()},
        "released": None if course.last is None else released_round(holdings, charter, course.last),
    }


def _start(holdings: Holdings, charter: Charter) -> Json:
    """Which tensors of the given model the run began with, as the first global message says."""
    first = holdings.notes.get(Slot(Kind.global_, CENTRE, 0))
    if charter.start is None or first is None or "taken" not in first.facts:
        return {}
    return {"start": taken_line(charter.start.model, first.facts["taken"], first.facts.get("drawn", []))}


def _word(word: Control) -> Json:
    return {**asdict(word), "at": word.at.isoformat(timespec="seconds"), "action": word.action.value}


def _part(part: Part, cases: int | None) -> Json:
    refused = {str(number): why for number, why in part.refused.items()}
    rounds, missed = list(part.rounds), list(part.missed)
    told: Json = {"answer": part.answer, "cases": cases, "rounds": rounds, "missed": missed, "refused": refused}
    return {**told, "gone": part.gone, "stayed": part.stayed}


def _round(holdings: Holdings, number: int) -> Json:
    """Figures and times of one round, in seconds on the store's clock."""
    before, after = (
        holdings.notes[Slot(Kind.global_, CENTRE, number - 1)],
        holdings.notes[Slot(Kind.global_, CENTRE, number)],
    )
    included = after.facts["included"]
    updates = {site: note for site, note in holdings.by_site(Kind.update, number).items() if site in included}
    return {
        "round": number,
        "seconds": _seconds(before.at, after.at),
        "aggregation_s": after.facts.get("seconds"),
        "metrics": weighted({site: note.facts for site, note in updates.items()}),
        "sites": {
            site: {
                "cases": note.facts.get("cases"),
                "steps": note.facts.get("steps"),
                "metrics": number_table(note.facts),
                "work_s": note.facts.get("seconds"),
                "turnaround_s": _seconds(before.at, note.at),
                "waited_s": _seconds(note.at, after.at),
            }
            for site, note in updates.items()
        },
        "missing": after.facts.get("missing", []),
        "refused": after.facts.get("refused", {}),
        "remarks": after.facts.get("remarks", {}),
    }


def _seconds(begin: datetime, end: datetime) -> float:
    return round((end - begin).total_seconds(), 3)


def _evaluation(
    mailbox: Mailbox, letters: Mapping[Slot, Letter], charter: Charter, last: int, refused: list[Json]
) -> dict[str, Json]:
    """Means on every site's test patients; an evaluation that cannot be used is added to `refused`."""
    tables: dict[str, Json] = {}
    for site in charter.sites:
        letter = letters.get(Slot(Kind.evaluation, site, last))
        if letter is None or mailbox.me not in (CENTRE, site):
            continue
        try:
            content = mailbox.read_json(letter)
            local, tuned = (_tables(content.get(key)) for key in ("local", "tuned"))
            tables[site] = {
                "federated": _means(content.get("federated")),
                **({"personal": _means(content["personal"])} if "personal" in content else {}),
                "local": {name: _means(local[name]) for name in charter.sites if name in local},
                **({"tuned": {name: _means(tuned[name]) for name in charter.sites if name in tuned}} if tuned else {}),
            }
        except BadMessage as error:
            refused.append({"message": str(letter.slot), "why": error.sentence})
    return tables


def _tables(content: Any) -> Json:
    """Scores by site; none where a message holds something else."""
    return content if isinstance(content, dict) else {}


def _means(scores: Any) -> Json:
    """Means over the test cases of one model."""
    cases = scores.get("test") if isinstance(scores, dict) else None
    if not isinstance(cases, list) or not all(isinstance(case, dict) for case in cases):
        raise BadMessage("An evaluation is not usable", expected="a list of cases for every model")
    return summarise_cases([_case(number, case) for number, case in enumerate(cases, 1)])


def _case(number: int, content: Json) -> CaseMetrics:
    """One case of an evaluation, every score checked."""
    tables = {key: content.get(key) for key in (*MEASURES, "reference_ml", "predicted_ml")}
    for key, table in tables.items():
        if not isinstance(table, dict) or not all(_is_score(value, key) for value in table.values()):
            raise BadMessage("An evaluation is not usable", expected=f"{key} as numbers in their range, or null")
    return CaseMetrics(case=str(number), **tables)  # type: ignore[arg-type]  # checked just above


def _is_score(value: Any, key: str) -> bool:
    if value is None:
        return key in MEASURES
    return type(value) in (int, float) and 0 <= value <= (1 if key in MEASURES else float("inf"))


def dice_table(evaluation: Mapping[str, Json]) -> Json:
    """Mean test Dice, None if undefined: `federated.<site>`, `local.<trained at>.<tested at>`, `personal`, `tuned`."""
    own = {site: table["personal"]["dice"]["mean"] for site, table in evaluation.items() if "personal" in table}
    return {
        "federated": {site: table["federated"]["dice"]["mean"] for site, table in evaluation.items()},
        "local": _crossed(evaluation, "local"),
        **({"personal": own} if own else {}),
        **({"tuned": tuned} if (tuned := _crossed(evaluation, "tuned")) else {}),
    }


def _crossed(evaluation: Mapping[str, Json], kind: str) -> Json:
    """Mean test Dice of one kind of models, by the site that trained and the site that tested."""
    found: dict[str, dict[str, float | None]] = {}
    for tested, table in evaluation.items():
        for trained, means in table.get(kind, {}).items():
            found.setdefault(trained, {})[tested] = means["dice"]["mean"]
    return found


def _fine_tuning(evaluation: Mapping[str, Json], charter: Charter) -> Json:
    """Which sites keep their tuned models, by the guard that each of them asks as well."""
    if charter.fine_tune is None:
        return {}
    tuned = [site for site in charter.sites if any(site in table.get("tuned", {}) for table in evaluation.values())]
    return {"fine_tuning": {site: judged(site, evaluation, charter.fine_tune).as_json() for site in tuned}}


def _software(letters: Mapping[Slot, Letter], charter: Charter) -> Json:
    """Versions by party, from each one's first message."""
    firsts = {CENTRE: Slot(Kind.charter, CENTRE), **{site: Slot(Kind.answer, site) for site in charter.sites}}
    return {name: letters[slot].manifest.software for name, slot in firsts.items() if slot in letters}


def _moment(letters: Mapping[Slot, Letter], *, first: bool) -> str | None:
    times = [letter.received for letter in letters.values()]
    return (min(times) if first else max(times)).isoformat(timespec="seconds") if times else None
