"""Quantiles of data that nobody may collect: a histogram on a logarithmic scale whose counts can be added.

DDSketch (Masson, Rim and Lee 2019, doi:10.14778/3352063.3352135): a value x > 0 falls into bin ⌈log_γ x⌉ with
γ = (1 + α) / (1 - α); bin b stands for 2 γ^b / (γ + 1), which is within the relative error α of everything in it.
Negative values have bins of their own, and values nearer to zero than 1e-6 count as zero. Adding the counts of two
sketches gives exactly the sketch of the pooled data, in any order. An average of percentiles has no such property.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from konsil.errors import BadMessage
from konsil.types import Json

ALPHA = 0.005  # half a percent: far below the spread between scanners
GAMMA = (1 + ALPHA) / (1 - ALPHA)
TINY = 1e-6
PARTS = ("negative", "zero", "positive")


def sketch(values: npt.NDArray[np.floating]) -> Json:
    """Count finite values of any shape into bins: `{"negative": {bin: n}, "zero": {"0": n}, "positive": {bin: n}}`."""
    flat = np.asarray(values, dtype=np.float64).ravel()
    return {
        "negative": bins(-flat[flat < -TINY]),
        "zero": {"0": int(np.count_nonzero(np.abs(flat) <= TINY))},
        "positive": bins(flat[flat > TINY]),
    }


def bins(values: npt.NDArray[np.float64]) -> dict[str, int]:
    """Counts by bin number, for values > 0."""
    numbers, counts = np.unique(np.ceil(np.log(values) / math.log(GAMMA)).astype(int), return_counts=True)
    return {str(number): int(n) for number, n in zip(numbers, counts, strict=True)}


def merge(sketches: Iterable[Json]) -> Json:
    """Add the counts of several sketches."""
    total: dict[str, Counter[str]] = {part: Counter() for part in PARTS}
    for one in sketches:
        if set(one) != set(PARTS):
            raise BadMessage("a sketch of intensities is not readable", expected=" and ".join(PARTS))
        for part in PARTS:
            total[part].update(one[part])
    return {part: dict(sorted(counts.items(), key=lambda item: int(item[0]))) for part, counts in total.items()}


def quantile(one: Json, q: float) -> float:
    """Value below which the share `q` (0 to 1) of the data lies, within the relative error ALPHA."""
    line = [(-middle(int(b)), n) for b, n in one["negative"].items()]
    line += [(0.0, n) for n in one["zero"].values()]
    line += [(middle(int(b)), n) for b, n in one["positive"].items()]
    line.sort()
    counts = np.cumsum([n for _, n in line])
    if not len(counts) or counts[-1] <= 0:
        raise BadMessage("a sketch of intensities is empty", expected="at least one foreground voxel")
    return line[int(np.searchsorted(counts, q * (counts[-1] - 1), side="right"))][0]


def middle(number: int) -> float:
    """The value that stands for a bin."""
    return 2 * GAMMA**number / (GAMMA + 1)
