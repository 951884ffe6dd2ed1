"""Fingerprints and the common plan: merging equals pooling, order does not matter, disagreement is a sentence."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import numpy as np
import pytest

from konsil.errors import BadInput, BadMessage, Refused
from konsil.learners.nnunet import merging
from konsil.learners.nnunet.recipe import check, seal, tile_of
from konsil.learners.nnunet.settings import parse_data, parse_settings

TRAINING = ("train", "train", "train", "validation", "test")


@pytest.fixture
def sites(make_cohort, make_learner) -> dict[str, Any]:
    """Fingerprints of two unlike sites and of their pooled cases: 3 + 1 cases at A, 2 + 0 at B, ten times brighter."""
    found = {}
    for site, splits, scale in (("A", TRAINING, 1.0), ("B", ("train", "train", "test"), 10.0)):
        home, cohort = make_cohort(site, splits=splits, scale=scale, edge=20 if site == "A" else 24, seed=ord(site))
        found[site] = (home, cohort, make_learner(home).fingerprint(cohort))
    return found


def pooled(sites: dict[str, Any], data: Any) -> dict[str, Any]:
    """nnU-Net's own extraction over the training and validation cases of all sites, with the samples we draw."""
    from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

    from konsil.learners.nnunet.dataset import cases_of
    from konsil.learners.nnunet.fingerprint import SAMPLES

    cases = [case for _, cohort, _ in sites.values() for case in cases_of(cohort, data)]
    seen = [
        DatasetFingerprintExtractor.analyze_case([str(i) for i in c.images], str(c.label), SimpleITKIO, SAMPLES)
        for c in cases
    ]
    return {
        "intensities": np.concatenate([np.array(one[2], dtype=np.float64) for one in seen], axis=1),
        "shapes": sorted(tuple(one[0]) for one in seen),
        "share": float(np.median([one[4] for one in seen])),
    }


def test_the_merged_fingerprint_is_that_of_the_pooled_cases(sites):
    data = parse_data({"name": "balls", "channels": ["T1w", "FLAIR"], "labels": {"background": 0, "lesion": 1}})
    merged = merging.merge(merging.parse({name: site[2] for name, site in sites.items()}), data)
    whole = pooled(sites, data)
    for index in ("0", "1"):
        found = merged["foreground_intensity_properties_per_channel"][index]
        values = whole["intensities"][int(index)]
        assert found["mean"] == pytest.approx(values.mean(), rel=1e-12)
        assert found["std"] == pytest.approx(values.std(), rel=1e-12)  # with the spread between sites
        assert (found["min"], found["max"]) == (values.min(), values.max())
        assert found["percentile_99_5"] == pytest.approx(np.percentile(values, 99.5), rel=0.006)
        assert found["percentile_00_5"] == pytest.approx(np.percentile(values, 0.5), rel=0.006)
    assert sorted(map(tuple, merged["shapes_after_crop"])) == whole["shapes"]
    assert merged["median_relative_size_after_cropping"] == whole["share"]


def test_the_order_and_names_of_sites_change_nothing(sites, make_learner):
    learner = make_learner(sites["A"][0])
    a, b = sites["A"][2], sites["B"][2]
    assert learner.plan({"A": a, "B": b}) == learner.plan({"B": b, "A": a}) == learner.plan({"x": b, "y": a})


def test_the_recipe_counts_all_sites_and_holds_no_path(sites, make_learner):
    recipe = make_learner(sites["A"][0]).plan({name: site[2] for name, site in sites.items()})
    assert recipe["dataset"]["numTraining"] == 4 + 2
    assert recipe["plans"]["configurations"]["3d_fullres"]["patch_size"] == [16, 16, 16]
    assert str(sites["A"][0].parent) not in json.dumps(recipe)


def test_without_a_network_setting_nnunets_planner_decides(sites, make_learner):
    recipe = make_learner(sites["A"][0], network=None).plan({"A": sites["A"][2]})
    configuration = recipe["plans"]["configurations"]["3d_fullres"]
    assert configuration["architecture"]["arch_kwargs"]["features_per_stage"][0] == 32
    assert configuration["batch_size"] >= 2


def test_a_fingerprint_says_nothing_about_test_cases(make_cohort, make_learner):
    home, with_test = make_cohort("C", splits=("train", "validation", "test", "test"))
    other, without = make_cohort("C2", splits=("train", "validation"))
    assert make_learner(home).fingerprint(with_test) == make_learner(other).fingerprint(without)


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [
        ("channels", ["FLAIR", "T1w"], "channels of B"),
        ("labels", {"background": 0, "tumour": 1}, "labels of B"),
        ("nnunetv2", "1.7.0", "nnU-Net version of B"),
    ],
)
def test_sites_that_do_not_fit_together_are_named(sites, make_learner, field: str, value: Any, word: str):
    odd = {**sites["B"][2], field: value}
    with pytest.raises(Refused, match=word):
        make_learner(sites["A"][0]).plan({"A": sites["A"][2], "B": odd})


@pytest.mark.parametrize("broken", [{"geometry": []}, {"train": 0}, {"extra": 1}])
def test_a_broken_fingerprint_is_refused_with_its_site(sites, make_learner, broken: dict[str, Any]):
    with pytest.raises(BadMessage, match="fingerprint of B"):
        make_learner(sites["A"][0]).plan({"A": sites["A"][2], "B": {**sites["B"][2], **broken}})


def test_a_cohort_with_other_labels_is_refused_in_words(make_cohort, make_learner):
    home, cohort = make_cohort("D", splits=("train", "train"))
    other = cohort.model_copy(update={"labels": {"background": 0, "tumour": 1}})
    with pytest.raises(BadInput, match="labels of the cohort balls"):
        make_learner(home).fingerprint(other)


def test_a_changed_recipe_is_refused(sites, make_learner):
    recipe = make_learner(sites["A"][0]).plan({"A": sites["A"][2]})
    recipe["plans"]["configurations"]["3d_fullres"]["batch_size"] = 99
    with pytest.raises(BadMessage, match="changed after it was made"):
        check(recipe)


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (("architecture", "network_class_name"), "os.system"),
        (("architecture", "arch_kwargs", "nonlin"), "subprocess.Popen"),
        (("preprocessor_name",), "EvilPreprocessor"),
    ],
)
def test_a_recipe_that_names_foreign_code_is_refused_even_with_a_good_hash(sites, make_learner, place, name):
    recipe = deepcopy(make_learner(sites["A"][0]).plan({"A": sites["A"][2]}))
    target = recipe["plans"]["configurations"]["3d_fullres"]
    for step in place[:-1]:
        target = target[step]
    target[place[-1]] = name
    forged = seal({key: value for key, value in recipe.items() if key not in ("sha256", "format")})
    with pytest.raises(BadMessage, match=place[-1]):
        check(forged)


def test_a_recipe_of_another_charter_is_refused(sites, make_learner):
    home, cohort, fingerprint = sites["A"]
    recipe = make_learner(home).plan({"A": fingerprint})
    with pytest.raises(BadMessage, match="settings differ"):
        make_learner(home, learning_rate=0.5).prepare(cohort, recipe)


@pytest.mark.parametrize(
    ("asked", "image", "tile"),
    [
        (None, [74.5, 91.0, 71.0], [32, 32, 32]),
        ([64, 64, 64], [74.5, 91.0, 71.0], [64, 64, 64]),
        ([96, 96, 96], [74.5, 91.0, 71.0], [72, 88, 68]),
        ([96, 96, 96], [20.0, 40.0, 33.0], [32, 40, 32]),
    ],
)
def test_a_tile_hangs_over_no_usual_image(asked: list[int] | None, image: list[float], tile: list[int]) -> None:
    network = {"patch_size": [32, 32, 32], "features_per_stage": [8, 16, 32]}
    settings = parse_settings({"network": network, "tile_size": asked})
    assert tile_of(settings, {"patch_size": [32, 32, 32], "median_image_size_in_voxels": image}) == tile
