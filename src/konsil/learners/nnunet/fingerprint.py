"""What a site tells before round 1: numbers about its images from which all sites' plan can be made.

nnU-Net's own extractor looks at each case (crop to nonzero, then a fixed number of foreground voxels drawn with a
fixed seed). It weights every case the same, so means and variances merge exactly when every site draws equally many per
case: `SAMPLES`. Intensities leave as mean, standard deviation, extremes and quantiles (quantiles.py); voxel
sizes and cropped sizes leave per case, sorted, without a name, or as counts (histogram.py). Test cases are never seen.
"""

from __future__ import annotations

import logging
from importlib import metadata
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from pydantic import BaseModel, ConfigDict, Field, model_validator

from konsil.cohort.frozen import FrozenCohort
from konsil.errors import BadInput
from konsil.learners.nnunet import quantiles
from konsil.learners.nnunet.dataset import LabelledCase, cases_of
from konsil.learners.nnunet.histogram import Histograms, counted
from konsil.learners.nnunet.settings import Data, NnUNetSettings
from konsil.types import Json

log = logging.getLogger(__name__)
FORMAT: Literal["konsil.nnunet-fingerprint/2"] = "konsil.nnunet-fingerprint/2"
SAMPLES = 50_000  # foreground voxels per case and channel, with replacement; 20 cases make a million

Size = Annotated[int, Field(ge=1, le=4096)]
Millimetres = Annotated[float, Field(gt=0, le=100)]


class Strict(BaseModel):
    """A fingerprint comes over the wire: nothing unknown, no infinite numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Geometry(Strict):
    """One case, axes (z, y, x): voxel size, voxels after cropping to nonzero, and the share that cropping left."""

    spacing_mm: tuple[Millimetres, Millimetres, Millimetres]
    shape: tuple[Size, Size, Size]
    share: float = Field(gt=0, le=1)


class Intensity(Strict):
    """Foreground intensities of one channel over `cases` cases that have any foreground.

    `quantiles` are the 1001 order statistics of quantiles.py, sorted, from `min` to `max`.
    """

    cases: int = Field(ge=1)
    mean: float
    std: float = Field(ge=0)
    min: float
    max: float
    quantiles: list[float] = Field(min_length=quantiles.POINTS, max_length=quantiles.POINTS)

    @model_validator(mode="after")
    def quantiles_are_sorted(self) -> Intensity:
        """From min to max, none smaller than the one before."""
        if self.quantiles != sorted(self.quantiles) or [self.min, self.max] != [self.quantiles[0], self.quantiles[-1]]:
            raise ValueError("quantiles sorted from min to max")
        return self


class SiteFingerprint(Strict):
    """What one site sends. `intensities` is by channel and empty if no case has foreground.

    Sizes are in `geometry`, case by case, or in `histograms`, as the charter's setting `sizes` says.
    """

    format: Literal["konsil.nnunet-fingerprint/2"] = FORMAT
    nnunetv2: str
    channels: list[str]
    labels: dict[str, int]
    train: int = Field(ge=1)
    validation: int = Field(ge=0)
    geometry: list[Geometry] = Field(default_factory=list, exclude_if=lambda value: not value)
    histograms: Histograms | None = Field(default=None, exclude_if=lambda value: value is None)
    intensities: dict[str, Intensity]

    @model_validator(mode="after")
    def every_case_has_a_size(self) -> SiteFingerprint:
        """Sizes come in one of the two forms, for as many cases as are announced."""
        if bool(self.geometry) == (self.histograms is not None):
            raise ValueError("either geometry or histograms")
        sized = self.histograms.total if self.histograms else len(self.geometry)
        if sized != self.train + self.validation:
            raise ValueError(f"sizes of {self.train + self.validation} cases, not of {sized}")
        return self


Seen: TypeAlias = tuple[Geometry, Any]
"""A case's sizes and its drawn foreground intensities, (channels, SAMPLES), None without foreground."""


def extract(cohort: FrozenCohort, data: Data, settings: NnUNetSettings) -> Json:
    """Describe the training and validation cases. Raises BadInput if a case cannot be used."""
    cases = cases_of(cohort, data)
    train = sum(case.split == "train" for case in cases)
    if not train:
        raise BadInput(f"the cohort {cohort.name} has no training case", expected="at least one labelled patient")
    seen: list[Seen] = []
    for case in cases:
        log.info("fingerprint: case %d of %d", len(seen) + 1, len(cases))
        seen.append(look_at(case))
    return described(seen, train, data, settings)


def described(seen: list[Seen], train: int, data: Data, settings: NnUNetSettings) -> Json:
    """What a site sends about the cases it has looked at, `train` of them for training."""
    geometry = sorted((one for one, _ in seen), key=lambda one: (one.spacing_mm, one.shape, one.share))
    as_counts = settings.sizes == "histograms"
    return SiteFingerprint(
        nnunetv2=metadata.version("nnunetv2"),
        channels=list(data.channels),
        labels={"background": 0, **data.foreground},
        train=train,
        validation=len(seen) - train,
        geometry=[] if as_counts else geometry,
        histograms=counted(geometry) if as_counts else None,
        intensities=intensities([drawn for _, drawn in seen if drawn is not None], data),
    ).model_dump(mode="json")


def look_at(case: LabelledCase) -> Seen:
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
            quantiles=quantiles.summary(values),
        )
        for channel, values in zip(data.channels, everything, strict=True)
    }
