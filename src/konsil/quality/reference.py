"""What a measure is elsewhere: the spread of a reference beside the values of one's own cohort.

A reference is a table of percentiles by measure (format `konsil-reference/1`, docs/formats/qc.md). The one in the
package holds what MRIQC measured of the T1w of ABIDE that nobody excluded, for the measures whose definition is the
same here; `bench/abide.py` made it. A site makes its own of a cohort it trusts (`konsil reference`), for every measure
and for FLAIR as well. A reference is no limit and changes no verdict: scanners differ, and what is rare elsewhere may
be right here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import ValidationError

from konsil.cohort.folder import CohortFolder
from konsil.errors import BadInput, Missing
from konsil.files import read_json
from konsil.quality.limits import Closed, measure_kinds

FORMAT: Literal["konsil-reference/1"] = "konsil-reference/1"
PACKAGED = "abide"
FEWEST = 20  # images; the 5th percentile of fewer is their lowest value


class Spread(Closed):
    """Percentiles of one measure over `images` images, in the unit of the measure."""

    images: int
    p5: float
    p25: float
    p50: float
    p75: float
    p95: float


class Reference(Closed):
    """Percentiles by the key of a measure. `name` is what the page calls it, `source` where it comes from."""

    format: Literal["konsil-reference/1"] = FORMAT
    name: str
    source: str
    measures: dict[str, Spread]


def load_reference(which: str = PACKAGED) -> Reference:
    """The packaged reference, or a file of one's own (ends in .json). Raises `BadInput` in words."""
    if which == PACKAGED:
        text = resources.files("konsil.quality").joinpath("reference.json").read_text(encoding="utf-8")
        return Reference.model_validate_json(text)
    if not which.endswith(".json"):
        raise BadInput(
            "there is no such reference",
            expected=f"{PACKAGED}, or a .json file made by konsil reference",
            got=f"{which!r:.40}",
        )
    try:
        return Reference.model_validate(read_json(Path(which)))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise BadInput(
            "the reference file is not usable",
            expected=f"a file made by konsil reference ({FORMAT})",
            got=f"{field}: {first['msg']}",
        ) from error


def spread_of(values: Sequence[float]) -> Spread:
    """Percentiles of some values (at least one), rounded to 4 significant digits."""
    found = (float(f"{value:.4g}") for value in np.percentile(values, [5, 25, 50, 75, 95]))
    return Spread(images=len(values), **dict(zip(("p5", "p25", "p50", "p75", "p95"), found, strict=True)))


def reference_of(values: Mapping[str, Sequence[float]], *, name: str, source: str) -> Reference:
    """A reference of values by measure; fewer than 20 images have no 5th percentile, so their measure is left out."""
    measures = {key: spread_of(found) for key, found in values.items() if len(found) >= FEWEST}
    return Reference(name=name, source=source, measures=measures)


def cohort_reference(cohort: CohortFolder) -> Reference:
    """The reference that a cohort makes: the cases that were not set aside and whose verdict is no fail.

    Raises `Missing` if fewer than 20 such cases have been measured.
    """
    tables = [read_json(cohort.qc(case)) for case in cohort.cases() if cohort.qc(case).is_file()]
    sound = [table for table in tables if table["verdict"] != "fail"]
    if len(sound) < FEWEST:
        raise Missing(
            f"the cohort {cohort.name} is too small for a reference",
            expected=f"at least {FEWEST} measured cases whose verdict is no fail",
            got=str(len(sound)),
            hint="Measure more cases first: konsil qc COHORT",
        )
    found = {
        key: [
            float(one["measures"][key]["value"])
            for one in sound
            if one["measures"].get(key, {}).get("value") is not None
        ]
        for key in measure_kinds()
    }
    return reference_of(found, name=cohort.name, source=f"{len(sound)} cases of the cohort {cohort.name} of this site")
