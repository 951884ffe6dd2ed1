"""Which of a day's series are the T1w and the FLAIR.

Of several candidates the best is taken, in this order of importance: it covers a head; its slices are one volume; for
FLAIR, lesions were drawn on it; it is as the scanner made it; no contrast agent; 3D before 2D; finer slices; no
contrast agent in its name; and if all that is equal, the later one, because a repeated scan repeats a bad one. What was
not chosen keeps its reason, so a person can disagree.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from konsil.dicom.contrast import FLAIR, SEG, T1W, T1W_POST
from konsil.dicom.series import Series

MENTIONS_CONTRAST = re.compile(r"\+\s?c\b|\+\s?km\b|\bpost\b|t1post|gado|\bgd\b|\bkm\b|\bce\b", re.IGNORECASE)


@dataclass
class Choice:
    """The proposal for one case."""

    chosen: dict[str, Series] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    others: list[tuple[Series, str]] = field(default_factory=list)
    lacking: str = ""
    """Why this is no case; empty if it is one."""


def choose(day: Sequence[Series]) -> Choice:
    """Propose T1w, FLAIR and SEG among the series of one patient on one day, with warnings and reasons."""
    choice = Choice()
    drawn_on = {series.drawn_on for series in day if series.drawn_on}
    for role in (T1W, FLAIR):
        take_best(choice, role, [series for series in day if series.contrast.name == role], drawn_on)
    segmentations = [series for series in day if series.contrast.name == SEG]
    take_segmentation(choice, segmentations)
    for series in day:
        if series.contrast.name not in (T1W, FLAIR, SEG):
            choice.others.append((series, series.contrast.why))
    choice.lacking = lacking(choice, day)
    if not choice.lacking:
        choice.warnings += warnings_about(choice)
    return choice


def rank(series: Series, drawn_on: set[str]) -> tuple[float, ...]:
    """The larger, the better; see the head of this module."""
    finest = max(series.grid.spacing_mm) if series.grid else float("inf")
    return (
        series.covers_a_head,
        series.grid is not None,
        series.uid in drawn_on,
        not series.physics.processed,
        not series.physics.contrast_agent,
        series.physics.acquisition == "3D",
        -round(finest, 1),
        not mentions_contrast(series),
        series.number,
    )


def take_best(choice: Choice, role: str, candidates: Sequence[Series], drawn_on: set[str]) -> None:
    """Choose the best whole candidate for a role; note why the others stay behind."""
    whole = [series for series in candidates if not series.fault]
    choice.others += [(series, f"It is a {role}, but {series.fault}") for series in candidates if series.fault]
    if not whole:
        return
    order = sorted(whole, key=lambda series: rank(series, drawn_on), reverse=True)
    best = order[0]
    choice.chosen[role] = best
    for series in order[1:]:
        choice.others.append((series, f"It is a {role} too, but {advantage(best, series, drawn_on)}."))
        if rank(best, drawn_on)[:-1] == rank(series, drawn_on)[:-1]:
            choice.warnings.append(f"Two {role} series are equally good; the later one, {best.label}, was chosen.")


def advantage(best: Series, other: Series, drawn_on: set[str]) -> str:
    """The first point in which `best` ranks before `other`."""
    reasons = (
        "does not cover a head",
        "its slices are not one volume",
        "lesions were drawn on another one",
        f"{other.physics.processed}",
        "was made after a contrast agent",
        "is not a 3D acquisition",
        "has thicker slices",
        "its name suggests a contrast agent",
    )
    pairs = zip(rank(best, drawn_on), rank(other, drawn_on), reasons, strict=False)
    return next(
        (f"{reason} (chosen: {best.label})" for one, two, reason in pairs if one != two), f"{best.label} is later"
    )


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


def lacking(choice: Choice, day: Sequence[Series]) -> str:
    """Why these series are no case: the sentence names what is missing and what was there instead."""
    absent = [role for role in (T1W, FLAIR) if role not in choice.chosen]
    if not absent:
        return ""
    there = sorted({series.contrast.name for series in day})
    hint = ""
    if T1W in absent and T1W_POST in there:
        hint = " A T1w after contrast agent does not replace one without."
    if any(series.fault for series in day):
        hint += " Some files are cut short: export the study again."
    return f"There is no usable {' and no usable '.join(absent)} on this day; there are: {', '.join(there)}.{hint}"


def warnings_about(choice: Choice) -> list[str]:
    """What a person should know about the proposal although it is accepted."""
    warnings = []
    for role in (T1W, FLAIR):
        series = choice.chosen[role]
        if series.physics.processed:
            warnings.append(f"The {role} is a derived image: {series.physics.processed}.")
        if role == FLAIR and series.physics.contrast_agent:
            warnings.append("The FLAIR was made after a contrast agent.")
        elif mentions_contrast(series):
            warnings.append(
                f"The name of the {role} series suggests a contrast agent, though no tag says so: please look."
            )
        if isinstance(series.volume, str):
            warnings.append(f"The {role} will not convert: {series.volume}")
        elif not series.covers_a_head:
            warnings.append(f"The {role} does not seem to cover a head.")
    frames = {choice.chosen[role].frame_of_reference for role in (T1W, FLAIR)}
    if len(frames) > 1 or "" in frames:
        warnings.append(
            "T1w and FLAIR do not share a frame of reference; registration will have to bring them together."
        )
    return warnings


def mentions_contrast(series: Series) -> bool:
    """The series' name speaks of a contrast agent: enough to break a tie and to warn, never to decide."""
    names = (str(series.header.get(name) or "") for name in ("SeriesDescription", "ProtocolName"))
    return any(MENTIONS_CONTRAST.search(name) for name in names)
