"""Which of a day's series are the T1w and the FLAIR.

Never chosen: what is cut short, what does not cover a head (localisers, whatever they call themselves), and what is no
T1w or FLAIR by its physics (`konsil.dicom.contrast`). A T1w after a contrast agent is a T1w that ranks behind one
without. Of several candidates the first in rank is taken (`konsil.dicom.rank`); a copy of another series is no
candidate.

Three things are left to a person (`konsil.dicom.choices`), and until then the case is set aside: candidates that are
equally good; an image that contradicts its header, since water is bright in it and may not be in either role; and,
where the header of no series makes it a candidate, an image that may be one: its timing is stripped or names no
inversion that nulls water, and yet water is dark in it. What was not chosen keeps its reason, so a person can disagree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from konsil.dicom.contrast import FLAIR, ODD_INVERSION, SEG, T1W, T1W_POST, T2W, UNTOLD
from konsil.dicom.pixels import Look
from konsil.dicom.rank import Company, advantage, mentions_contrast, rank, when
from konsil.dicom.series import Series

CANDIDATES = {T1W: (T1W, T1W_POST), FLAIR: (FLAIR,)}
PERHAPS = {T1W: (UNTOLD,), FLAIR: (UNTOLD, T2W, ODD_INVERSION)}
"""Contrasts, by header, of series that may play a role all the same, if water is dark in them."""

FAR_APART_MM = 100.0
"""Distance of the centres of two images of one head in one session; fields of view differ by less."""


@dataclass(frozen=True)
class Doubt:
    """What only a person can decide about a role: why, and between which series."""

    why: str
    candidates: tuple[Series, ...]


@dataclass
class Choice:
    """The proposal for one case."""

    chosen: dict[str, Series] = field(default_factory=dict)
    doubts: dict[str, Doubt] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    others: list[tuple[Series, str]] = field(default_factory=list)
    lacking: str = ""
    """Why this is no case; empty if it is one."""


Settled = Mapping[str, Series | None]
"""What a person decided, by role; None = no series is to be used."""


def choose(day: Sequence[Series], look: Look, settled: Settled) -> Choice:
    """Propose T1w, FLAIR and SEG among the series of one patient on one day, with warnings and reasons."""
    choice = Choice()
    drawn_on = frozenset(series.drawn_on for series in day if series.drawn_on)
    for role in (T1W, FLAIR):
        candidates = usable(choice, role, day)
        if role in settled:
            follow(choice, role, candidates, settled[role])
        elif candidates:
            take_best(choice, role, Company(candidates, drawn_on), look)
        else:
            look_for(choice, role, day, look)
    take_segmentation(choice, [series for series in day if series.contrast.name == SEG])
    named = {id(series) for series, _ in choice.others} | {id(series) for series in choice.chosen.values()}
    choice.others += [(series, series.contrast.why) for series in day if id(series) not in named]
    choice.lacking = lacking(choice, day, settled)
    if not choice.lacking:
        choice.warnings += warnings_about(choice, day)
    return choice


def usable(choice: Choice, role: str, day: Sequence[Series]) -> list[Series]:
    """The candidates for a role that are whole and cover a head; the others get their reason."""
    found = []
    for series in day:
        if series.contrast.name not in CANDIDATES[role]:
            continue
        if series.fault:
            choice.others.append((series, f"It is a {role}, but {series.fault}"))
        elif not series.covers_a_head:
            choice.others.append((series, f"It is a {role}, but it does not cover a head{size_of(series)}."))
        else:
            found.append(series)
    return found


def size_of(series: Series) -> str:
    """The reach of a series for a sentence; empty if its slices have no common direction."""
    return f" ({' x '.join(f'{value:.0f}' for value in series.reach_mm)} mm)" if any(series.reach_mm) else ""


def follow(choice: Choice, role: str, candidates: Sequence[Series], decided: Series | None) -> None:
    """Take what a person decided."""
    if decided is not None:
        choice.chosen[role] = decided
    label = decided.label if decided is not None else "none of them"
    choice.others += [
        (series, f"It is a {role} too, but a person chose {label}.") for series in candidates if series is not decided
    ]


def take_best(choice: Choice, role: str, company: Company, look: Look) -> None:
    """Choose the best candidate for a role or say why a person has to; note why the others stay behind."""
    order = sorted(company.candidates, key=when)
    order.sort(key=lambda series: rank(series, company), reverse=True)
    best, tied = order[0], [order[0]]
    for series in order[1:]:
        if rank(series, company) != rank(best, company):
            choice.others.append(
                (series, f"It is a {role} too, but {advantage(best, series, company)} (chosen: {best.label}).")
            )
        elif any(look.same(series, other) for other in tied):
            choice.others.append((series, f"It is a copy of the {role} ({best.label})."))
        else:
            tied.append(series)
    if len(tied) > 1:
        choice.doubts[role] = Doubt(f"{len(tied)} series are equally good as the {role}", tuple(tied))
    elif look.fluid(best) == "bright":
        why = f"By its header {best.label} is the {role}, but water is bright in it"
        choice.doubts[role] = Doubt(why, tuple(order))
    else:
        choice.chosen[role] = best


def look_for(choice: Choice, role: str, day: Sequence[Series], look: Look) -> None:
    """Where no header makes a series a candidate, ask about those whose image may be one."""
    perhaps = [
        series
        for series in day
        if series.contrast.name in PERHAPS[role]
        and not series.fault
        and series.covers_a_head
        and look.fluid(series) == "dark"
    ]
    if perhaps:
        why = f"By their headers no series is a {role}, but water is dark in {'one' if len(perhaps) == 1 else 'some'}"
        choice.doubts[role] = Doubt(why, tuple(perhaps))


def take_segmentation(choice: Choice, segmentations: Sequence[Series]) -> None:
    """Attach the segmentation that was drawn on the chosen FLAIR."""
    flair = choice.chosen.get(FLAIR)
    for series in reversed(segmentations):
        if series.fault:
            choice.others.append((series, f"It is a segmentation, but {series.fault}"))
        elif flair is None or series.drawn_on != flair.uid:
            choice.others.append((series, "It is a segmentation of a series that was not chosen as FLAIR."))
        elif SEG in choice.chosen:
            choice.others.append(
                (series, f"It is an earlier segmentation of the FLAIR (chosen: {choice.chosen[SEG].label}).")
            )
        else:
            choice.chosen[SEG] = series


def lacking(choice: Choice, day: Sequence[Series], settled: Settled) -> str:
    """Why these series are no case: what a person has to decide, or what is missing and what was there instead."""
    sentences = [
        f"{doubt.why}: {' and '.join(series.label for series in doubt.candidates)}." for doubt in choice.doubts.values()
    ]
    if sentences:
        return f"{' '.join(sentences)} A person has to decide which it is: konsil choose."
    refused = [role for role, series in settled.items() if series is None]
    if refused:
        return f"A person decided that no series of this day is to be used as the {' and the '.join(refused)}."
    absent = [role for role in (T1W, FLAIR) if role not in choice.chosen]
    if not absent:
        return ""
    there = sorted({series.contrast.name for series in day})
    small = [reason for series, reason in choice.others if "does not cover a head" in reason]
    hint = f" {small[0]}" if small else ""
    if any(series.fault for series in day):
        hint += " Some files are cut short: export the study again."
    return f"There is no usable {' and no usable '.join(absent)} on this day; there are: {', '.join(there)}.{hint}"


def warnings_about(choice: Choice, day: Sequence[Series]) -> list[str]:
    """What a person should know about the proposal although it is accepted."""
    warnings = [sentence for role in (T1W, FLAIR) for sentence in warnings_about_one(role, choice.chosen[role], day)]
    return warnings + warnings_about_the_pair(choice.chosen[T1W], choice.chosen[FLAIR])


def warnings_about_the_pair(t1w: Series, flair: Series) -> list[str]:
    """Whether both were made in one position: no refusal, since registration will find out and can refuse."""
    if not t1w.frame_of_reference or t1w.frame_of_reference != flair.frame_of_reference:
        return ["T1w and FLAIR do not share a frame of reference; registration will have to bring them together."]
    if t1w.grid is None or flair.grid is None:
        return []
    apart_mm = float(np.linalg.norm(t1w.grid.centre - flair.grid.centre))
    if apart_mm < FAR_APART_MM:
        return []
    return [f"T1w and FLAIR lie {apart_mm:.0f} mm apart in one frame of reference: do they show the same patient?"]


def warnings_about_one(role: str, series: Series, day: Sequence[Series]) -> list[str]:
    """What a person should know about one chosen series."""
    facts = series.physics
    spatial = any(one.contrast.name in CANDIDATES[role] and one.physics.acquisition == "3D" for one in day)
    checks = {
        f"The {role} is a derived image: {facts.processed}.": bool(facts.processed),
        f"The {role} was made after a contrast agent.": facts.contrast_agent,
        f"The name of the {role} series suggests a contrast agent, though no tag says so: please look.": (
            mentions_contrast(series) and not facts.contrast_agent
        ),
        f"The {role} is 2D although there is a 3D one that day.": spatial and facts.acquisition == "2D",
        f"The header does not make this series a {role}: a person chose it.": (
            series.contrast.name not in CANDIDATES[role]
        ),
    }
    warnings = [sentence for sentence, holds in checks.items() if holds]
    if isinstance(series.volume, str):
        warnings.append(f"The {role} will not convert: {series.volume}")
    return warnings
