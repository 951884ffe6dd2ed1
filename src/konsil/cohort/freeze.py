"""Freezing: from a folder that changes to a cohort that does not.

A person looked at the report and signed; the sign-off names the report by its hash, so nobody signs what they did not
see. Then every file is hashed, the patients are split, and `cohort.json` is written in one step. Which cases go in is
decided by rule: the reviewer's decision, else the verdict of the quality control.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from konsil.cohort import bids
from konsil.cohort.cases import Case
from konsil.cohort.folder import CohortFolder
from konsil.cohort.frozen import BACKGROUND, Decision, FrozenCase, FrozenCohort, SignOff, read_frozen
from konsil.cohort.splits import DEFAULT_FRACTIONS, UNLABELLED, check_fractions, split_patients
from konsil.errors import BadInput, Missing
from konsil.files import as_bytes, read_json, sha256_of, write_once
from konsil.provenance import versions

log = logging.getLogger(__name__)

LABELS = {BACKGROUND: 0, "lesion": 1}
VERDICTS = ("pass", "warn", "fail")


def freeze(
    cohort: CohortFolder, *, sign_off: SignOff, seed: int, fractions: Sequence[float] = DEFAULT_FRACTIONS
) -> FrozenCohort:
    """Write `cohort.json` from the registered T1w, the oriented FLAIR and the lesion masks of all accepted cases.

    A case without a lesion mask is in the split "unlabelled". Raises `Missing` if the report or all cases are missing,
    `BadInput` if the report changed after the sign-off, a decision is not usable, or the name is frozen already with
    other content. The same content again returns what is frozen.
    """
    check_fractions(fractions)
    check_report(cohort, sign_off)
    verdicts, excluded = choose(cohort, sign_off)
    subjects = {case.subject for case in verdicts if cohort.lesions(case).is_file()}
    splits = split_patients(subjects, seed=seed, fractions=fractions)
    channels = common_channels(cohort, sorted(verdicts))
    frozen = FrozenCohort(
        name=cohort.name,
        origin="prepared",
        channels=channels,
        labels=LABELS,
        seed=seed,
        fractions=(fractions[0], fractions[1], fractions[2]),
        cases=[freeze_case(cohort, case, verdicts[case], splits, channels) for case in sorted(verdicts)],
        excluded=excluded,
        sign_off=sign_off,
        software=versions(),
        root=cohort.path,
    )
    bids.describe(cohort)
    return keep(frozen)


def keep(frozen: FrozenCohort) -> FrozenCohort:
    """Write a frozen cohort into its `root`, or return the one that is there if it is the same."""
    path = frozen.root / "cohort.json"
    if not path.exists():
        write_once(path, as_bytes(frozen.model_dump(mode="json")))
        log.info("froze cohort %s: %d cases", frozen.name, len(frozen.cases))
    present = read_frozen(path)
    if present.content() != frozen.content():
        raise BadInput(
            f"the cohort {frozen.name} is frozen already, with other content",
            expected="a name that is not in use",
            hint="A frozen cohort never changes: give the new version a new name",
        )
    return present


def check_report(cohort: CohortFolder, sign_off: SignOff) -> None:
    """Refuse a sign-off of another report than the one that lies there."""
    report = cohort.reports / "cohort.html"
    if not report.is_file():
        raise Missing(
            "there is no report to sign off",
            expected=f"{report.name} in the cohort's reports",
            hint="Run: konsil report COHORT",
        )
    if sha256_of(report) != sign_off.report_sha256:
        raise BadInput(
            "the report has changed since it was signed off",
            expected=f"SHA-256 {sign_off.report_sha256[:12]}…",
            got=f"{sha256_of(report)[:12]}…",
            hint="Read the new report and sign that one",
        )


def choose(cohort: CohortFolder, sign_off: SignOff) -> tuple[dict[Case, str], dict[str, str]]:
    """Which cases go in (with their verdict) and which stay out (with a sentence)."""
    aside = {name: f"set aside by {entry.step}: {entry.reason}" for name, entry in cohort.set_aside_cases().items()}
    cases = cohort.cases()
    unknown = set(sign_off.decisions) - {str(case) for case in cases} - set(aside)
    if unknown:
        raise BadInput(f"the sign-off decides on cases this cohort does not have: {', '.join(sorted(unknown))}")
    accepted: dict[Case, str] = {}
    excluded = dict(aside)
    for case in cases:
        verdict, reason = judge(cohort, case, sign_off.decisions.get(str(case)))
        if reason:
            excluded[str(case)] = reason
        else:
            accepted[case] = verdict
    if not accepted:
        raise Missing("no case of this cohort can be frozen", got="; ".join(sorted(set(excluded.values()))[:3]))
    return accepted, dict(sorted(excluded.items()))


def judge(cohort: CohortFolder, case: Case, decision: Decision | None) -> tuple[str, str]:
    """The verdict of a case, and why it stays out (empty if it goes in)."""
    if decision is not None and decision.decision == "exclude":
        return "", f"excluded by the reviewer: {decision.reason}"
    needed = {
        "konsil orient": cohort.oriented(case, "FLAIR"),
        "konsil register": cohort.registered(case),
        "konsil qc": cohort.qc(case),
    }
    lacking = [step for step, path in needed.items() if not path.is_file()]
    if lacking:
        return "", f"not prepared to the end: {' and '.join(lacking)} did not finish for it"
    verdict = read_json(cohort.qc(case)).get("verdict")
    if verdict not in VERDICTS:
        raise BadInput(
            f"the quality file of {case} has no verdict", expected=", ".join(VERDICTS), hint="Run: konsil qc COHORT"
        )
    if verdict == "fail" and decision is None:
        return verdict, "the quality control fails it, and the reviewer did not accept it"
    if verdict == "fail" and decision is not None and not decision.reason.strip():
        raise BadInput(
            f"{case} was accepted against the verdict fail", expected="a reason", hint="Say why in the sign-off"
        )
    return verdict, ""


def common_channels(cohort: CohortFolder, cases: Sequence[Case]) -> list[str]:
    """The channels that every one of these cases has; T1w and FLAIR are always among them (see `why_not`)."""
    names = cohort.channels(cases[0]) if cases else {}
    return [name for name in names if all(cohort.channels(case)[name].is_file() for case in cases)]


def freeze_case(
    cohort: CohortFolder, case: Case, verdict: str, splits: dict[str, str], channels: Sequence[str]
) -> FrozenCase:
    """Hash the files of one case and name them relative to the cohort."""
    label = cohort.lesions(case) if cohort.lesions(case).is_file() else None
    images = {name: cohort.channels(case)[name] for name in channels}
    files = [*images.values(), *([label] if label else []), cohort.qc(case)]
    return FrozenCase(
        case=str(case),
        subject=case.subject,
        split=splits[case.subject] if label else UNLABELLED,  # type: ignore[arg-type]  # one of SPLITS
        images={channel: inside(path, cohort.path) for channel, path in images.items()},
        label=inside(label, cohort.path) if label else None,
        verdict=verdict,
        sha256={inside(path, cohort.path): sha256_of(path) for path in files},
    )


def inside(path: Path, root: Path) -> str:
    """`path` relative to `root`, with forward slashes."""
    return path.relative_to(root).as_posix()
