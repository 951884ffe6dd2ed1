"""What a site tells before round 1: numbers about its images from which all sites' plan can be made.

nnU-Net's own extractor looks at each case (crop to nonzero, then a fixed number of foreground voxels drawn with a
fixed seed). It weights every case the same, so means and variances merge exactly when every site draws equally many per
case: `SAMPLES`. Intensities leave as mean, standard deviation, extremes and a sketch of quantiles (sketch.py); voxel
sizes and cropped sizes leave per case, sorted, without a name. Test cases are not looked at.
"""

from __future__ import annotations

import logging
from importlib import metadata
from typing import Annotated, Any, Literal

import numpy as np
from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from pydantic import BaseModel, ConfigDict, Field

from konsil.cohort.frozen import FrozenCohort
from konsil.errors import BadInput
from konsil.learners.nnunet import sketch
from konsil.learners.nnunet.dataset import LabelledCase, cases_of
from konsil.learners.nnunet.settings import Data
from konsil.types import Json

log = logging.getLogger(__name__)
FORMAT: Literal["konsil.nnunet-fingerprint/1"] = "konsil.nnunet-fingerprint/1"
SAMPLES = 50_000  # foreground voxels per case and channel, with replacement; 20 cases make a million

Size = Annotated[int, Field(ge=1, le=4096)]
Millimetres = Annotated[float, Field(gt=0, le=100)]
Count = Annotated[int, Field(ge=0)]


class Strict(BaseModel):
    """A fingerprint comes over the wire: nothing unknown, no infinite numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Geometry(Strict):
    """One case, axes (z, y, x): voxel size, voxels after cropping to nonzero, and the share that cropping left."""

    spacing_mm: tuple[Millimetres, Millimetres, Millimetres]
    shape: tuple[Size, Size, Size]
    share: float = Field(gt=0, le=1)


class Intensity(Strict):
    """Foreground intensities of one channel over `cases` cases that have any foreground."""

    cases: int = Field(ge=1)
    mean: float
    std: float = Field(ge=0)
    min: float
    max: float
    sketch: dict[str, dict[str, Count]]


class SiteFingerprint(Strict):
    """What one site sends. `intensities` is by channel and empty if no case has foreground."""

    format: Literal["konsil.nnunet-fingerprint/1"] = FORMAT
    nnunetv2: str
    channels: list[str]
    labels: dict[str, int]
    train: int = Field(ge=1)
    validation: int = Field(ge=0)
    geometry: list[Geometry] = Field(min_length=1)
    intensities: dict[str, Intensity]


def extract(cohort: FrozenCohort, data: Data) -> Json:
    """Describe the training and validation cases. Raises BadInput if a case cannot be used."""
    cases = cases_of(cohort, data)
    train = sum(case.split == "train" for case in cases)
    if not train:
        raise BadInput(f"the cohort {cohort.name} has no training case", expected="at least one labelled patient")
    seen: list[tuple[Geometry, Any]] = []
    for case in cases:
        log.info("fingerprint: case %d of %d", len(seen) + 1, len(cases))
        seen.append(look_at(case))
    return SiteFingerprint(
        nnunetv2=metadata.version("nnunetv2"),
        channels=list(data.channels),
        labels={"background": 0, **data.foreground},
        train=train,
        validation=len(cases) - train,
        geometry=sorted((one for one, _ in seen), key=lambda one: (one.spacing_mm, one.shape, one.share)),
        intensities=intensities([drawn for _, drawn in seen if drawn is not None], data),
    ).model_dump(mode="json")


def look_at(case: LabelledCase) -> tuple[Geometry, Any]:
    """Geometry and drawn foreground intensities, (channels, SAMPLES) or None without foreground, of one case."""
    try:
        shape, spacing, drawn, _, share = DatasetFingerprintExtractor.analyze_case(
            [str(path) for path in case.images], str(case.label), SimpleITKIO, SAMPLES
        )
    except (AssertionError, RuntimeError, ValueError) as error:
        raise BadInput(
            f"{case.name} cannot be used for training",
            expected="channels and label on one grid, with finite numbers",
            got=str(error).splitlines()[0][:120] if str(error) else type(error).__name__,
        ) from error
    geometry = Geometry.model_validate(
        {"spacing_mm": [round(float(mm), 6) for mm in spacing], "shape": [int(n) for n in shape], "share": share}
    )
    return geometry, np.asarray(drawn, dtype=np.float64) if len(drawn[0]) else None


def intensities(drawn: list[Any], data: Data) -> dict[str, Intensity]:
    """Summarise what was drawn, by channel; every case weighs the same."""
    if not drawn:
        return {}
    everything = np.concatenate(drawn, axis=1)
    return {
        channel: Intensity(
            cases=len(drawn),
            mean=float(values.mean()),
            std=float(values.std()),
            min=float(values.min()),
            max=float(values.max()),
            sketch=sketch.sketch(values),
        )
        for channel, values in zip(data.channels, everything, strict=True)
    }
