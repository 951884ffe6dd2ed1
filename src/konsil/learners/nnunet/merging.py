"""Many fingerprints into one, as if all images had lain in one place.

With nᵢ cases of mean mᵢ and standard deviation sᵢ at site i::

    mean = Σ nᵢ mᵢ / Σ nᵢ          variance = Σ nᵢ (sᵢ² + (mᵢ - mean)²) / Σ nᵢ

The second term of the variance, the spread between sites, is what an average of variances forgets (Chan, Golub and
LeVeque 1983). Extremes merge by min and max, lists of sizes by concatenation (counts of sizes by addition), quantiles
by mixing distributions. Sums are correctly rounded (`math.fsum`), so neither the order nor the names of the sites
change a bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

from pydantic import ValidationError

from konsil.errors import BadMessage, Refused
from konsil.learners.nnunet import histogram, quantiles
from konsil.learners.nnunet.fingerprint import Geometry, Intensity, SiteFingerprint
from konsil.learners.nnunet.settings import Data, NnUNetSettings
from konsil.types import Json

RANKS = {"percentile_00_5": 0.005, "median": 0.5, "percentile_99_5": 0.995}


def parse(fingerprints: Mapping[str, Json]) -> dict[str, SiteFingerprint]:
    """Check every site's message; BadMessage names the site and the first wrong field."""
    checked = {}
    for site in sorted(fingerprints):
        try:
            checked[site] = SiteFingerprint.model_validate(fingerprints[site])
        except ValidationError as error:
            problem = error.errors(include_input=False)[0]
            place = ".".join(str(step) for step in problem["loc"])
            raise BadMessage(f"the fingerprint of {site} is not usable: {place}", expected=problem["msg"]) from error
    if not checked:
        raise Refused("there is no fingerprint to plan with", expected="at least one site's")
    return checked


def agree(sites: Mapping[str, SiteFingerprint], data: Data, settings: NnUNetSettings) -> None:
    """Raise Refused unless all mean the charter's channels, labels and form of sizes, with one nnU-Net version."""
    wanted = {"background": 0, **data.foreground}
    first = next(iter(sites.values()))
    version = minor(first.nnunetv2)
    rules: list[tuple[str, Callable[[SiteFingerprint], Any], Any]] = [
        ("channels", lambda one: tuple(one.channels), tuple(data.channels)),
        ("labels", lambda one: one.labels, wanted),
        ("nnU-Net version", lambda one: minor(one.nnunetv2), version),
        ("form of sizes", lambda one: "histograms" if one.histograms else "per case", settings.sizes),
        ("intensities", lambda one: set(one.intensities) - set(data.channels), set()),
    ]
    for site, one in sites.items():
        for what, read, expected in rules:
            if read(one) != expected:
                raise Refused(
                    f"the sites cannot train together: the {what} of {site} differ from the others'",
                    expected=str(expected),
                    got=str(read(one)),
                    hint="Leave the site out, or let it prepare a cohort that fits the charter",
                )


def minor(version: str) -> str:
    """`2.8.1` → `2.8`: patch releases do not change what nnU-Net computes."""
    return ".".join(version.split(".")[:2])


def merge(sites: Mapping[str, SiteFingerprint], data: Data) -> Json:
    """The federation's fingerprint in nnU-Net's own form (`dataset_fingerprint.json`)."""
    geometry = sizes(list(sites.values()))
    return {
        "spacings": [list(one.spacing_mm) for one in geometry],
        "shapes_after_crop": [list(one.shape) for one in geometry],
        "median_relative_size_after_cropping": relative_size(geometry),
        "foreground_intensity_properties_per_channel": {
            str(index): pooled([site.intensities[channel] for site in sites.values() if channel in site.intensities])
            for index, channel in enumerate(data.channels)
        },
    }


def sizes(sites: list[SiteFingerprint]) -> list[Geometry]:
    """Every case's sizes, sorted; of sites that sent counts, made-up cases with these counts."""
    known = [one for site in sites for one in site.geometry]
    if counts := [site.histograms for site in sites if site.histograms]:
        known += [
            Geometry.model_validate({"spacing_mm": mm, "shape": voxels, "share": share})
            for mm, voxels, share in histogram.cases(histogram.added(counts))
        ]
    return sorted(known, key=lambda one: (one.spacing_mm, one.shape, one.share))


def relative_size(geometry: list[Geometry]) -> float:
    """Median share of an image that cropping to nonzero leaves; below 0.75 nnU-Net normalises inside the mask."""
    return float(median(one.share for one in geometry))


def pooled(parts: list[Intensity]) -> dict[str, float]:
    """Statistics of the pooled foreground intensities of one channel."""
    if not parts:
        raise Refused("no site has a case with any labelled voxel", expected="at least one, to learn from")
    n = sum(one.cases for one in parts)
    mean = math.fsum(one.cases * one.mean for one in parts) / n
    variance = math.fsum(one.cases * (one.std**2 + (one.mean - mean) ** 2) for one in parts) / n
    summaries = [(float(one.cases), one.quantiles) for one in parts]
    return {
        "mean": mean,
        "std": math.sqrt(variance),
        "min": min(one.min for one in parts),
        "max": max(one.max for one in parts),
        **{key: quantiles.quantile(summaries, q) for key, q in RANKS.items()},
    }
