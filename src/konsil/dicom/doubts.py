"""From doubts about a case to questions for a person, and from answers back to what is settled.

A question shows each candidate by key, label and facts: what its header and its pixels say, and when it was made
compared with the others, in minutes. Names, dates, times of day and UIDs stay out, since questions are read in logs and
tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from konsil.dicom.choice import Choice
from konsil.dicom.choices import NONE, Answer, Candidate, Question
from konsil.dicom.pixels import Look
from konsil.dicom.pseudonyms import Pseudonyms
from konsil.dicom.rank import mentions_contrast, when
from konsil.dicom.series import Series
from konsil.dicom.vocabulary import described

KEY_DIGITS = 6


def key_of(series: Series, pseudonyms: Pseudonyms) -> str:
    """The key of a series: its number, and six digits of the keyed UID of its first image."""
    return f"{series.number}-{pseudonyms.uid(str(series.header.get('SOPInstanceUID', series.uid)))[-KEY_DIGITS:]}"


def questions_about(case: str, choice: Choice, look: Look, pseudonyms: Pseudonyms) -> list[Question]:
    """What a person has to decide about a case; empty if nothing."""
    questions = []
    for role, doubt in choice.doubts.items():
        offered = [
            Candidate(key_of(series, pseudonyms), series.label, facts_of(series, doubt.candidates, look))
            for series in doubt.candidates
        ]
        questions.append(Question(case, role, tuple(offered), f"{doubt.why}."))
    return questions


def settled_by(
    answers: Mapping[tuple[str, str], Answer], case: str, choice: Choice, pseudonyms: Pseudonyms
) -> dict[str, Series | None]:
    """The roles of a case that a person has decided about, with the series (None = none of them)."""
    settled: dict[str, Series | None] = {}
    for role, doubt in choice.doubts.items():
        by_key = {key_of(series, pseudonyms): series for series in doubt.candidates}
        answer = answers.get((case, role))
        if answer is not None and answer.settles(by_key):
            settled[role] = None if answer.series == NONE else by_key[answer.series]
    return settled


def facts_of(series: Series, among: Sequence[Series], look: Look) -> str:
    """What a person should know about a candidate, in words."""
    physics = series.physics
    version = [
        word
        for word, holds in (
            (f"derived ({physics.processed})", bool(physics.processed)),
            ("corrected for distortion", physics.corrections[0] > 0),
            ("corrected for the coil", physics.corrections[1] > 0),
            ("after a contrast agent", physics.contrast_agent),
            ("its name suggests a contrast agent", mentions_contrast(series)),
        )
        if holds
    ]
    parts = [physics.sentence(), size_of(series), *version, order_of(series, among)]
    words = described(str(series.header.get("SeriesDescription") or ""))
    parts.append(f"named {words}" if words else "")
    parts.append({"dark": "water is dark in it", "bright": "water is bright in it"}.get(look.fluid(series), ""))
    return "; ".join(part for part in parts if part)


def size_of(series: Series) -> str:
    """Slices and voxel size."""
    if series.grid is None:
        return "no volume"
    return f"{series.grid.shape[2]} slices, voxels {' x '.join(f'{value:.3g}' for value in series.grid.spacing_mm)} mm"


def order_of(series: Series, among: Sequence[Series]) -> str:
    """When it was made, compared with the first of the candidates."""
    if len(among) < 2 or series.started_s is None:
        return ""
    first = min(among, key=when)
    if series is first or first.started_s is None:
        return "the first of them"
    minutes = round((series.started_s - first.started_s) / 60)
    return f"{minutes} min after the first" if minutes else "at the time of the first"
