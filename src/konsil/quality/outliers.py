"""Cases unlike the rest of their own cohort.

Limits are the same for everybody, but scanners differ. So a case that lies far from its own cohort is named, whatever
the limits say: modified z-score 0.6745 (x - median) / MAD above 3.5 (Iglewicz and Hoaglin 1993), asked only of cohorts
with at least 8 cases, and only on the side that is worse (either side where neither is better).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from konsil.types import Json

FEWEST = 8
FAR = 3.5


def z_scores(values: Sequence[float]) -> list[float]:
    """Modified z-scores; 0 for all if more than half of the values are equal."""
    array = np.asarray(values, dtype=np.float64)
    middle = np.median(array)
    spread = float(np.median(np.abs(array - middle)))
    if spread == 0:
        return [0.0] * len(values)
    return [float(score) for score in 0.6745 * (array - middle) / spread]


def badness(score: float, better: str) -> float:
    """How far a z-score lies on the worse side (0 on the better one): `better` is higher, lower, within or neither."""
    return {"higher": max(0.0, -score), "lower": max(0.0, score)}.get(better, abs(score))


def far_off(measures: Mapping[str, Json]) -> dict[str, dict[str, float]]:
    """Badness of each case (by name) and measure (by key) where it exceeds `FAR`; `measures` are the tables of qc."""
    found: dict[str, dict[str, float]] = {name: {} for name in measures}
    for key in sorted({key for table in measures.values() for key in table}):
        lines = {name: table[key] for name, table in measures.items() if key in table}
        taken = {name: float(line["value"]) for name, line in lines.items() if line["value"] is not None}
        if len(taken) < FEWEST:
            continue
        for name, score in zip(taken, z_scores(list(taken.values())), strict=True):
            bad = badness(score, lines[name]["better"])
            if bad > FAR:
                found[name][key] = bad
    return found
