"""The first step: what lies in the inbox, and which series make a case.

Reads headers, and pixels of the few series that a choice is about, and writes `work/<cohort>/scan.json`
(docs/formats/cohort.md): a proposal with reasons, in pseudonyms. A person can read it before anything is copied. Where
the rules end, it asks (`choices.json`) and sets the case aside; scanning again obeys the answer. Scanning again after
new studies arrived keeps what was done for unchanged cases.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from konsil.cohort.cases import Case
from konsil.cohort.folder import CohortFolder, SiteFolder
from konsil.dicom.choice import Choice, choose
from konsil.dicom.choices import Answer, Question, answers, ask
from konsil.dicom.contrast import FLAIR, SEG
from konsil.dicom.doubts import questions_about, settled_by
from konsil.dicom.findings import check
from konsil.dicom.headers import Contents, read_inbox
from konsil.dicom.masks import owner
from konsil.dicom.pixels import Look
from konsil.dicom.pseudonyms import Pseudonyms, open_pseudonyms
from konsil.dicom.sealed import opened, sealed
from konsil.dicom.series import Series, fingerprint, group
from konsil.errors import BadInput, Fault, Missing, Refused
from konsil.files import read_json, write_json
from konsil.provenance import versions
from konsil.types import Json, Outcome

log = logging.getLogger(__name__)
FORMAT = "konsil-scan/2"
STEP = "scan"
MASK = "MASK"


def scan(site: SiteFolder, cohort: str, inbox: Path, links: Sequence[Path] = ()) -> Outcome:
    """Propose cases from everything in `inbox` (any folders, any file names) and write scan.json.

    `links`: folders outside the inbox that links in it may lead to; no other link is followed.
    `done` are the cases with T1w and FLAIR; set aside are days without them and files that cannot be read, each with a
    sentence. Raises `Missing` or `BadInput` for an inbox without DICOM, and for a cohort frozen with other cases.
    """
    folder = site.cohort(cohort)
    contents = read_inbox(inbox, links)
    pseudonyms = open_pseudonyms(site)
    choices, questions = propose(contents, pseudonyms, Look(inbox), answers(folder))
    masks, homeless = assign_masks(inbox, contents, choices)
    cases = {name: describe(inbox, choice, masks.get(name)) for name, choice in choices.items() if not choice.lacking}
    aside = {name: choice.lacking for name, choice in choices.items() if choice.lacking} | homeless
    for sentence, paths in contents.unreadable.items():
        aside[unreadable_name(sentence)] = f"{sentence} {len(paths)} such files; konsil scan --paths names them."
    found = {
        "format": FORMAT,
        "inbox": str(inbox.absolute()),
        "cases": cases,
        "set_aside": aside,
        "unreadable": contents.unreadable,
        "ignored": dict(contents.ignored),
        "software": versions(),
    }
    settle(folder, sealed(found, pseudonyms), choices)
    ask(folder, questions)
    log.info("scan of the inbox: %d cases, %d set aside", len(cases), len(aside))
    return Outcome(tuple(sorted(cases)), aside)


def propose(
    contents: Contents, pseudonyms: Pseudonyms, look: Look, given: Mapping[tuple[str, str], Answer]
) -> tuple[dict[str, Choice], list[Question]]:
    """One choice per patient and day, keyed by the name of the case, and the questions that only a person can answer.

    `given` are the answers so far, by case and role; a doubt that an answer settles is asked all the same, so that it
    can be answered again, but no longer keeps the case back.
    """
    days: dict[str, list[Series]] = defaultdict(list)
    for series in group(contents.instances):
        case = Case(pseudonyms.subject(series.patient), pseudonyms.session(series.patient, series.day))
        days[str(case)].append(series)
    choices: dict[str, Choice] = {}
    questions: list[Question] = []
    for name, day in sorted(days.items()):
        try:
            choice = choose(day, look, {})
            asked = questions_about(name, choice, look, pseudonyms)
            settled = settled_by(given, name, choice, pseudonyms)
            choices[name] = choose(day, look, settled) if settled else choice
        except Exception as error:  # noqa: BLE001 - one odd study must not hide three hundred others
            choices[name], asked = Choice(lacking=Fault.of(error).sentence), []
        questions += asked
    return choices, questions


def assign_masks(inbox: Path, contents: Contents, choices: dict[str, Choice]) -> tuple[dict[str, str], dict[str, str]]:
    """Give each NIfTI mask to its case; returns case → path, and sentences for masks that belong nowhere."""
    flairs = {
        name: (choice.chosen[FLAIR].grid, choice.chosen[FLAIR].files[0])
        for name, choice in choices.items()
        if not choice.lacking and choice.chosen[FLAIR].grid
    }
    found: dict[str, str] = {}
    homeless: dict[str, str] = {}
    for count, mask in enumerate(contents.masks, start=1):
        try:
            case = owner(inbox, mask, flairs)  # type: ignore[arg-type]  # grids that are None were left out above
            if case in found or SEG in choices[case].chosen:
                raise BadInput(
                    f"{case} has more than one drawing of its lesions", expected="one", hint="Leave only the valid one"
                )
            found[case] = mask
        except Refused as refusal:
            homeless[f"lesion mask {count}"] = refusal.sentence
    return found, homeless


def describe(inbox: Path, choice: Choice, mask: str | None) -> Json:
    """The entry of one case in scan.json."""
    series = {role: entry(inbox, one) for role, one in choice.chosen.items()}
    if mask:
        series[MASK] = {"files": [mask], "label": "lesion mask (NIfTI)", "sha256": fingerprint(inbox, [mask])}
    others = [{"series": one.label, "contrast": one.contrast.name, "reason": reason} for one, reason in choice.others]
    return {"series": series, "warnings": choice.warnings, "others": others}


def entry(inbox: Path, series: Series) -> Json:
    """One chosen series in scan.json."""
    return {
        "files": series.files,
        "label": series.label,
        "contrast": series.contrast.name,
        "why": series.contrast.why,
        "properties": series.properties(),
        "sha256": fingerprint(inbox, series.files),
    }


def settle(folder: CohortFolder, found: Json, choices: dict[str, Choice]) -> None:
    """Write scan.json (`found`, its paths sealed) and bring the cohort's set-aside files up to date with it."""
    path = folder.work / "scan.json"
    before = earlier(path)
    if folder.frozen.exists() and before["cases"] != found["cases"]:
        raise BadInput(
            f"the cohort {folder.name} exists and is frozen, with other cases than this inbox",
            expected="a name that is not in use",
            hint="Choose another name with --cohort",
        )
    for name, entry_aside in folder.set_aside_cases().items():
        if entry_aside.step == STEP or before["cases"].get(name) != found["cases"].get(name):
            folder.take_back(Case.parse(name))
    for name, choice in choices.items():
        if choice.lacking:
            folder.set_aside(Case.parse(name), STEP, choice.lacking)
    write_json(path, found, mode=0o600)


def earlier(path: Path) -> Json:
    """What the scan before this one found; no cases if there was none, or if somebody changed its file."""
    try:
        found = read_json(path)
        check(found)
    except (Missing, BadInput):
        return {"cases": {}}
    return found


def read_scan(folder: CohortFolder) -> Json:
    """What `scan` found for this cohort, its paths in clear; raises `Missing` if it was not scanned."""
    path = folder.work / "scan.json"
    if not path.is_file():
        raise Missing(
            "this cohort was not scanned yet", expected="scan.json", hint=f"Run: konsil scan IN --cohort {folder.name}"
        )
    found = read_json(path)
    if found.get("format") != FORMAT:
        raise BadInput(
            "scan.json is of another version", expected=FORMAT, got=str(found.get("format"))[:40], hint="Scan again"
        )
    check(found)
    return opened(found, open_pseudonyms(folder.site))


def unreadable_name(sentence: str) -> str:
    """A short name for a kind of fault, in the list of what was set aside."""
    return "files cut within their pixels" if "within" in sentence else "files cut short or broken"
