"""How likely an image holds an artifact, as one calibrated probability.

A logistic model over measures of one image (`image_measures`) and traces (`traces`), one for T1w and one for FLAIR.
Every feature is standardised with the median and the spread of clean images and enters twice, once for how far it lies
above and once for how far it lies below, because noise and blur leave traces on opposite sides. A feature that could
not be measured counts as that of a clean image; without enough features there is no score. Images are averaged to
voxels of about 2 mm first, the size the model was trained at. The numbers lie in `artifact_score.json`, made by
bench/train_artifacts.py; what they were trained on, and what they cannot tell, is on docs/models/artifact-score.md.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

from konsil.cohort.binning import by_blocks
from konsil.cohort.volume import Volume
from konsil.quality.atlas import Placement, brain, lay
from konsil.quality.image_measures import measure_air, measure_sharpness, measure_signal
from konsil.quality.noise import noise_sd
from konsil.quality.regions import find_regions
from konsil.quality.traces import traces
from konsil.types import Json

GRID_MM = 2.0
OUTLINE = 0.5  # share of brain
FARTHEST = 8.0  # spreads: beyond, a feature says no more
LEAST_SHARE = 0.5  # of the features have to be there

Features = Mapping[str, float | None]
Floats = npt.NDArray[np.float64]


@functools.cache
def read_models() -> Json:
    """The trained numbers, by image (T1w, FLAIR), and how they came about."""
    text = resources.files("konsil.quality").joinpath("artifact_score.json").read_text(encoding="utf-8")
    content: Json = json.loads(text)
    return content


def artifact_probability(features: Features, suffix: str) -> float | None:
    """Probability, 0 to 1, that a T1w or FLAIR (`suffix`) with these features holds an artifact that a person can see.

    `features` holds measures and traces by name, without the image; others are ignored. It is calibrated for images of
    which half hold an artifact: where one in ten does, divide the odds by nine. None if fewer than half of the features
    are there, or no model was trained for `suffix`.
    """
    model = read_models()["models"].get(suffix)
    return None if model is None else probability_by(model, features)


def probability_by(model: Mapping[str, Any], features: Features) -> float | None:
    """The probability that one image's model gives; None if fewer than half of its features are there."""
    features, names = derived(features), model["features"]
    known = [features.get(name) is not None for name in names]
    if sum(known) < LEAST_SHARE * len(names):
        return None
    score = float(hinges(matrix([features], model), model)[0] @ model["weights"] + model["intercept"])
    calibration = model["calibration"]
    return float(1 / (1 + np.exp(-(calibration["slope"] * score + calibration["offset"]))))


def matrix(rows: Sequence[Features], model: Mapping[str, Any]) -> Floats:
    """Features as numbers (rows, features), in the scale of the model, clean values where one is missing."""
    columns = []
    for name, kind, middle in zip(model["features"], model["scales"], model["medians"], strict=True):
        values = [scaled(row.get(name), kind) for row in rows]
        columns.append([middle if value is None else value for value in values])
    return np.array(columns, dtype=np.float64).T


def scaled(value: float | None, kind: str) -> float | None:
    """A feature on its scale: `log` for ratios that are above 0, `linear` for the others; None stays None."""
    if value is None or not np.isfinite(value):
        return None
    return float(np.log(max(value, 1e-4))) if kind == "log" else float(value)


def hinges(values: Floats, model: Mapping[str, Any]) -> Floats:
    """How far each feature lies above and below that of clean images, in spreads: (rows, 2 x features), 0 or more."""
    z = (values - np.array(model["medians"])) / np.array(model["spreads"])
    z = np.clip(z, -FARTHEST, FARTHEST)
    return np.concatenate([np.maximum(z, 0), np.maximum(-z, 0)], axis=1)


def derived(features: Features) -> dict[str, float | None]:
    """The features, and two that follow from them.

    `gsr_strongest` and `streak_strongest` are the strongest along any axis: only who scanned knows which one it is.
    `face_excess` is the signal at the sides of the picture above that of the air, which is bright in a noisy image.
    """
    result = dict(features)
    for kind in ("gsr", "streak"):
        along = [value for axis in "xyz" if (value := features.get(f"{kind}_{axis}")) is not None]
        if along:
            result[f"{kind}_strongest"] = max(along)
    face = features.get("face_signal")
    if face is not None:
        result["face_excess"] = max(0.0, face - (features.get("air_level") or 0.0))
    return result


def score_image(image: Volume, placement: Placement, suffix: str) -> float | None:
    """The probability of an oriented T1w or FLAIR, given where the atlas lies on it."""
    return artifact_probability(measure_artifacts(image, placement), suffix)


def measure_artifacts(image: Volume, placement: Placement) -> dict[str, float | None]:
    """Everything that the score reads, by name, taken at about 2 mm.

    Regions follow the atlas's own outline of the brain, so that the score does not depend on who draws the mask.
    """
    coarse = averaged(image)
    regions = find_regions(coarse, lay(brain(), placement, coarse) > OUTLINE, placement)
    found = measure_signal(coarse, regions, noise_sd(coarse.data, regions.parenchyma))
    found |= measure_sharpness(coarse.data, regions.brain)
    found |= measure_air(coarse.data, regions)
    return {name: measured.value for name, measured in found.items()} | traces(coarse, regions)


def averaged(image: Volume) -> Volume:
    """Means over blocks of voxels, as many along each axis as bring it nearest to 2 mm; white noise stays white."""
    count = np.maximum(1, np.rint(GRID_MM / image.spacing_mm)).astype(int)
    if count.max() == 1:
        return image
    return by_blocks(image, count)
