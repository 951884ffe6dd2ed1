"""Proof: however cases are divided among sites, the merged fingerprint is the pooled one, and so is the plan."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from konsil.errors import BadMessage, Refused
from konsil.learners.nnunet import fingerprint, histogram, merging, planning
from konsil.learners.nnunet.dataset import dataset_json
from konsil.learners.nnunet.settings import parse_data, parse_settings

DATA = parse_data({"name": "ms", "channels": ["T1w", "FLAIR"], "labels": {"background": 0, "lesion": 1}})
PER_CASE, COUNTED = parse_settings({}), parse_settings({"sizes": "histograms"})
VOXELS = 500  # drawn per case; real cases draw fingerprint.SAMPLES
SPACINGS = [(1.0, 1.0, 1.0), (1.2, 0.9375, 0.9375), (3.0, 0.5, 0.5)]
PROPERTIES = "foreground_intensity_properties_per_channel"


def seen_case(rng: np.random.Generator) -> Any:
    """What looking at one case gives: sizes, and voxels of two channels unless it has no foreground."""
    geometry = fingerprint.Geometry(
        spacing_mm=SPACINGS[rng.integers(len(SPACINGS))],
        shape=tuple(int(n) for n in rng.integers(120, 200, size=3)),
        share=float(rng.uniform(0.6, 1)),
    )
    level = rng.uniform(-200, 2000, size=(2, 1))
    drawn = rng.normal(level, rng.choice([0.5, 30, 300]), size=(2, VOXELS))
    return geometry, (None if rng.random() < 0.1 else drawn)


def one_site(cases: list[Any], chosen: Any = PER_CASE) -> Any:
    return fingerprint.described(cases, len(cases), DATA, chosen)


def merged(sites: dict[str, Any], chosen: Any = PER_CASE) -> Any:
    parsed = merging.parse(sites)
    merging.agree(parsed, DATA, chosen)
    return merging.merge(parsed, DATA)


def divided(cases: list[Any], owners: list[int]) -> dict[str, Any]:
    """The fingerprints of the sites that own the cases."""
    return {f"S{o}": one_site([c for c, own in zip(cases, owners, strict=True) if own == o]) for o in set(owners)}


def plan_of(whole: Any) -> Any:
    return planning.only(
        planning.run_planner(whole, dataset_json(DATA, len(whole["spacings"])), PER_CASE, "Dataset501_D"), PER_CASE
    )


PARTITIONS = st.integers(2, 14).flatmap(
    lambda n: st.tuples(st.integers(0, 2**31), st.lists(st.integers(0, 4), min_size=n, max_size=n))
)


@settings(max_examples=30, deadline=None)
@given(PARTITIONS)
def test_any_partition_merges_to_the_pooled_fingerprint(partition):
    seed, owners = partition
    rng = np.random.default_rng(seed)
    cases = [(seen_case(rng)[0], rng.normal(100, 20, size=(2, VOXELS))), *(seen_case(rng) for _ in owners[1:])]
    together, pooled = merged(divided(cases, owners)), merged({"all": one_site(cases)})
    assert together["spacings"] == pooled["spacings"]
    assert together["shapes_after_crop"] == pooled["shapes_after_crop"]
    assert len(together["spacings"]) == len(cases)
    assert together["median_relative_size_after_cropping"] == np.median([geometry.share for geometry, _ in cases])
    assert merged(dict(reversed(divided(cases, [9 - owner for owner in owners]).items()))) == together
    everything = np.concatenate([drawn for _, drawn in cases if drawn is not None], axis=1)
    for channel, values in enumerate(everything):
        check_intensities(together[PROPERTIES][str(channel)], values)


def check_intensities(found: Any, values: np.ndarray) -> None:
    assert (found["min"], found["max"]) == (values.min(), values.max())
    assert found["mean"] == pytest.approx(values.mean(), rel=1e-6)
    assert found["std"] == pytest.approx(values.std(), rel=1e-6)
    ordered = np.sort(values)
    for key, q in merging.RANKS.items():
        low, high = (np.searchsorted(ordered, found[key], side=side) / len(ordered) for side in ("left", "right"))
        assert low - 0.005 <= q <= high + 0.005, key


def test_the_plan_of_the_merged_fingerprint_is_the_pooled_plan():
    rng = np.random.default_rng(3)
    cases = [seen_case(rng) for _ in range(9)]
    together = plan_of(merged(divided(cases, [0, 1, 1, 2, 2, 2, 0, 1, 2])))
    pooled = plan_of(merged({"all": one_site(cases)}))
    for found in (together, pooled):  # the plan repeats the intensities, which the test above compares
        assert found.pop(PROPERTIES)
    assert together == pooled


def test_counts_of_sizes_give_no_line_per_case_and_a_plan_within_their_steps():
    rng = np.random.default_rng(4)
    cases = [seen_case(rng) for _ in range(9)]
    sites = {"A": one_site(cases[:4], COUNTED), "B": one_site(cases[4:], COUNTED)}
    assert "geometry" not in sites["A"]
    assert [sum(n for *_, n in axis) for axis in sites["A"]["histograms"]["axes"]] == [4, 4, 4]
    known, exact = merged(sites, COUNTED), merged({"all": one_site(cases)})
    assert np.median(known["spacings"], axis=0) == pytest.approx(np.median(exact["spacings"], axis=0), abs=0.005)
    assert np.median(known["shapes_after_crop"], axis=0) == pytest.approx(
        np.median(exact["shapes_after_crop"], axis=0), abs=histogram.SHAPE / 2
    )
    plans = [plan_of(one)["configurations"]["3d_fullres"] for one in (known, exact)]
    assert plans[0]["spacing"] == pytest.approx(plans[1]["spacing"], abs=0.005)
    size = "median_image_size_in_voxels"  # of the planned voxel size, so both steps are in it
    assert plans[0][size] == pytest.approx(plans[1][size], abs=histogram.SHAPE / 2 + 1)
    assert np.prod(plans[0]["patch_size"]) / np.prod(plans[1]["patch_size"]) == pytest.approx(1, abs=0.25)
    assert merged({"B": sites["A"], "A": sites["B"]}, COUNTED) == known


def test_counting_keeps_the_side_of_nnunets_threshold():
    """Below 0.75 nnU-Net normalises inside the mask: a border of the steps lies there."""
    geometry = [fingerprint.Geometry(spacing_mm=(1, 1, 1), shape=(9, 9, 9), share=s) for s in (0.749, 0.751, 1.0)]
    shares = [middle for middle, _ in histogram.counted(geometry).share]
    assert [middle < 0.75 for middle in shares] == [True, False, False]


def test_a_site_that_sends_the_other_form_of_sizes_is_named():
    cases = [seen_case(np.random.default_rng(5)) for _ in range(3)]
    with pytest.raises(Refused, match="form of sizes of B"):
        merged({"A": one_site(cases, COUNTED), "B": one_site(cases)}, COUNTED)


def test_sizes_of_more_cases_than_announced_are_refused():
    site = one_site([seen_case(np.random.default_rng(6)) for _ in range(3)])
    doubled = {**copy.deepcopy(site), "geometry": site["geometry"] * 2}
    with pytest.raises(BadMessage, match="fingerprint of A") as refused:
        merged({"A": doubled})
    assert "3 cases, not of 6" in str(refused.value)
