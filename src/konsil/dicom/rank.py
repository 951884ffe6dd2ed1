"""In which order candidates for T1w and FLAIR rank.

POINTS are compared one after the other; the first that differs decides. They say, in this order:

1. The slices are one volume. 2. Lesions were drawn on it. 3. No contrast agent. 4. As the scanner made it, not derived.
5. No magnetisation transfer, which changes the contrast. 6. 3D before 2D. 7. Thinner slices. 8. Of 2D series, the axial
one; of T1w, a gradient echo after an inversion (MPRAGE and its like), the standard of protocols for MS (Wattjes et al.,
Lancet Neurol 2021). 9. Of versions of one image, the one that the scanner corrected for distortion, then for the coil.
10. Smaller voxels. 11. Longer reach, since a broken-off scan has fewer slices. 12. A name without a contrast agent, but
only where the other one came later: a name alone decides nothing.

Candidates that are equal in all points are for a person to decide (`konsil.dicom.choices`): a scan that was repeated
because the patient moved looks like this, and which one is good shows only in the pictures.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from konsil.dicom.contrast import T1W, T1W_POST
from konsil.dicom.series import Series

MENTIONS_CONTRAST = re.compile(r"\+\s?c\b|\+\s?km\b|\bpost\b|t1post|gado|\bgd\b|\bkm\b|\bce\b", re.IGNORECASE)
REACH_STEP_MM = 20.0
FARTHEST_MM = 1e6


@dataclass(frozen=True)
class Company:
    """What a candidate is seen against: all candidates for its role, and the series that lesions were drawn on."""

    candidates: Sequence[Series]
    drawn_on: frozenset[str]


def is_axial(series: Series) -> bool:
    """The slices lie across the body, within 45 degrees."""
    return bool(series.frames) and abs(float(series.frames[0].normal[2])) > np.sqrt(0.5)


def is_prepared(series: Series) -> bool:
    """A T1w by a gradient echo train after an inversion."""
    facts = series.physics
    return "GR" in facts.sequence and (facts.inverted or "MP" in facts.variant)


def finest(series: Series) -> float:
    """Largest side of a voxel in mm, to 0.1."""
    return round(max(series.grid.spacing_mm), 1) if series.grid else float("inf")


def voxel_mm(series: Series) -> float:
    """Side of a cube as large as a voxel in mm, to 0.1."""
    return round(float(np.prod(series.grid.spacing_mm)) ** (1 / 3), 1) if series.grid else float("inf")


def reach(series: Series) -> int:
    """The smallest extent, in steps of 20 mm."""
    return round(min(*series.reach_mm, FARTHEST_MM) / REACH_STEP_MM)


def when(series: Series) -> tuple[float, int]:
    """The order of series within a day: time of acquisition, then number."""
    return series.started_s if series.started_s is not None else float("inf"), series.number


def mentions_contrast(series: Series) -> bool:
    """The series' name speaks of a contrast agent."""
    names = (str(series.header.get(name) or "") for name in ("SeriesDescription", "ProtocolName"))
    return any(MENTIONS_CONTRAST.search(name) for name in names)


def is_named_post(series: Series, company: Company) -> bool:
    """Name and order agree that it was made after a contrast agent: the name says so, and one without came before."""
    before = (other for other in company.candidates if when(other) < when(series))
    return mentions_contrast(series) and any(not mentions_contrast(other) for other in before)


@dataclass(frozen=True)
class Point:
    """One point of comparison: the larger value is better; `reason` is said of the one that stays behind."""

    value: Callable[[Series, Company], float]
    reason: Callable[[Series], str]


def point(reason: str, value: Callable[[Series], float]) -> Point:
    """A point that looks at one series alone."""
    return Point(lambda series, company: value(series), lambda series: reason)


POINTS = (
    point("its slices are not one volume", lambda s: s.grid is not None),
    Point(lambda s, company: s.uid in company.drawn_on, lambda s: "lesions were drawn on another one"),
    point("it was made after a contrast agent", lambda s: not s.physics.contrast_agent),
    Point(lambda s, company: not s.physics.processed, lambda s: s.physics.processed),
    point("it was made with magnetisation transfer", lambda s: not s.physics.magnetisation_transfer),
    point("it is not a 3D acquisition", lambda s: s.physics.acquisition == "3D"),
    point("it has thicker slices", lambda s: -finest(s)),
    point("it is 2D and not axial", lambda s: s.physics.acquisition == "3D" or is_axial(s)),
    point(
        "it is no gradient echo after an inversion",
        lambda s: s.contrast.name not in (T1W, T1W_POST) or is_prepared(s),
    ),
    point("the scanner corrected another version further", lambda s: s.physics.corrections[0]),
    point("the scanner corrected another version for its coil", lambda s: s.physics.corrections[1]),
    point("it has larger voxels", lambda s: -voxel_mm(s)),
    point("it covers less", reach),
    Point(
        lambda s, company: not is_named_post(s, company),
        lambda s: "its name suggests a contrast agent, and one without came before it",
    ),
)


def rank(series: Series, company: Company) -> tuple[float, ...]:
    """The values of all points: the larger, the better."""
    return tuple(one.value(series, company) for one in POINTS)


def advantage(best: Series, other: Series, company: Company) -> str:
    """The first point in which `best` is ahead of `other`, as a reason why the other one stays behind."""
    pairs = zip(POINTS, rank(best, company), rank(other, company), strict=True)
    return next((one.reason(other) for one, mine, theirs in pairs if mine != theirs), "it is equally good")
