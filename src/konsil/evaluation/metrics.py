"""Overlap of a predicted mask with a drawn one, label by label.

With P the predicted voxels of a label and R the voxels of the reference (both on the same grid)::

    Dice         2 |P ∩ R| / (|P| + |R|)      undefined if both are empty     (Dice 1945; higher is better, 0 to 1)
    sensitivity    |P ∩ R| / |R|              undefined if R is empty         (share of the drawn voxels that was found)
    precision      |P ∩ R| / |P|              undefined if P is empty         (share of the found voxels that was drawn)

Undefined is `None`: a patient without lesions whose prediction is empty has no Dice, and one whose prediction is not
empty has a Dice of 0 and a precision of 0. Volumes are in millilitres (1 ml = 1000 mm³) and always defined.
Definitions and pitfalls: Taha and Hanbury 2015, doi:10.1186/s12880-015-0068-x; Maier-Hein et al. 2024,
doi:10.1038/s41592-023-02151-z.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Literal

import numpy as np
import numpy.typing as npt

from konsil.errors import BadInput
from konsil.types import Json

Measure = Literal["dice", "sensitivity", "precision"]
MEASURES: tuple[Measure, ...] = ("dice", "sensitivity", "precision")


@dataclass(frozen=True)
class CaseMetrics:
    """One case, every foreground label: `dice["lesion"]` is a number in 0 to 1, or None where it is not defined."""

    case: str
    dice: Mapping[str, float | None]
    sensitivity: Mapping[str, float | None]
    precision: Mapping[str, float | None]
    reference_ml: Mapping[str, float]
    predicted_ml: Mapping[str, float]

    def mean(self, measure: Measure = "dice") -> float | None:
        """Mean over the labels for which the measure is defined; None if it is defined for none."""
        return mean_of(getattr(self, measure).values())

    def as_json(self, *, with_case: bool = False) -> Json:
        """Plain JSON. The case's pseudonym is left out unless asked for: it has no business outside the site."""
        content = {key: dict(value) if isinstance(value, Mapping) else value for key, value in asdict(self).items()}
        if not with_case:
            del content["case"]
        return content


def measure(
    case: str,
    predicted: npt.NDArray[np.integer],
    reference: npt.NDArray[np.integer],
    labels: Mapping[str, int],
    voxel_mm3: float,
) -> CaseMetrics:
    """Compare two label maps of the same shape.

    `labels` maps names to values; value 0 is the background and not measured. `voxel_mm3` is the volume of one voxel.
    Raises BadInput if the shapes differ.
    """
    if predicted.shape != reference.shape:
        raise BadInput(
            "two masks cannot be compared", expected=f"shape {reference.shape}", got=f"shape {predicted.shape}"
        )
    found = {name: count(predicted == value, reference == value) for name, value in labels.items() if value != 0}
    return CaseMetrics(
        case=case,
        dice={name: share(2 * both, p + r) for name, (both, p, r) in found.items()},
        sensitivity={name: share(both, r) for name, (both, p, r) in found.items()},
        precision={name: share(both, p) for name, (both, p, r) in found.items()},
        reference_ml={name: r * voxel_mm3 / 1000 for name, (both, p, r) in found.items()},
        predicted_ml={name: p * voxel_mm3 / 1000 for name, (both, p, r) in found.items()},
    )


def count(predicted: npt.NDArray[np.bool_], reference: npt.NDArray[np.bool_]) -> tuple[int, int, int]:
    """Voxels in both masks, in the prediction, in the reference."""
    return int(np.count_nonzero(predicted & reference)), int(predicted.sum()), int(reference.sum())


def share(part: int, whole: int) -> float | None:
    """`part / whole`, or None for an empty whole."""
    return part / whole if whole else None


def mean_of(values: Iterable[float | None]) -> float | None:
    """Mean of the defined values; None if there is none."""
    defined = [value for value in values if value is not None]
    return fmean(defined) if defined else None


def summarise(cases: Sequence[CaseMetrics]) -> Json:
    """Means over cases, per measure and label, each with the number of cases in which it was defined.

    `{"cases": 4, "dice": {"mean": 0.8, "cases": 4, "by_label": {"lesion": {"mean": 0.8, "cases": 4}}}, …}`. The upper
    mean is the mean over cases of each case's mean over labels.
    """
    summary: Json = {"cases": len(cases)}
    for key in MEASURES:
        names = sorted({name for case in cases for name in getattr(case, key)})
        by_label = {name: spread([getattr(case, key).get(name) for case in cases]) for name in names}
        summary[key] = {**spread([case.mean(key) for case in cases]), "by_label": by_label}
    return summary


def spread(values: Sequence[float | None]) -> Json:
    """Mean of the defined values and how many there were."""
    return {"mean": mean_of(values), "cases": sum(value is not None for value in values)}
