"""What a charter may choose: nnU-Net's planners and configurations, and what only some images allow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from konsil.errors import BadSetting, Refused
from konsil.learners.nnunet import planning, recipe
from konsil.learners.nnunet.dataset import dataset_json
from konsil.learners.nnunet.settings import parse_data, parse_settings

DATA = parse_data({"name": "ms", "channels": ["T1w", "FLAIR"], "labels": {"background": 0, "lesion": 1}})
PLANNERS = {
    "ExperimentPlanner": ("PlainConvUNet", 8),
    "nnUNetPlannerResEncM": ("ResidualEncoderUNet", 8),
    "nnUNetPlannerResEncL": ("ResidualEncoderUNet", 24),
    "nnUNetPlannerResEncXL": ("ResidualEncoderUNet", 40),
}
TINY_2D = {"patch_size": [16, 16], "features_per_stage": [4, 8, 16], "n_conv_per_stage": 1, "batch_size": 4}


def large_images(voxels: int) -> dict[str, Any]:
    """The merged fingerprint of ten cases of (voxels, voxels, voxels) at 0.5 mm."""
    numbers = {"mean": 1.0, "std": 1.0, "min": 0.0, "max": 2.0, "median": 1.0}
    channel = {**numbers, "percentile_00_5": 0.0, "percentile_99_5": 2.0}
    return {
        "spacings": [[0.5] * 3] * 10,
        "shapes_after_crop": [[voxels] * 3] * 10,
        "median_relative_size_after_cropping": 1.0,
        "foreground_intensity_properties_per_channel": {"0": channel, "1": channel},
    }


@pytest.mark.parametrize("planner", PLANNERS)
def test_each_planner_plans_each_configuration_with_the_charters_memory(planner: str):
    kind, memory = PLANNERS[planner]
    asked = {"planner": planner, "gpu_memory_target_gb": memory}
    plans = planning.run_planner(large_images(600), dataset_json(DATA, 10), parse_settings(asked), "Dataset501_D")
    for configuration in ("2d", "3d_lowres", "3d_fullres"):
        made = planning.only(plans, parse_settings({**asked, "configuration": configuration}))
        (found,) = made["configurations"].values()
        assert found["architecture"]["network_class_name"].endswith(kind)
        assert len(found["patch_size"]) == (2 if configuration == "2d" else 3)
        named = recipe.named(made)  # all of them names that a site accepts
        assert all(value in recipe.NAMES[name] for name, value in named)


def test_more_memory_is_a_larger_patch():
    def patch(gb: int) -> float:
        chosen = parse_settings({"gpu_memory_target_gb": gb})
        plans = planning.run_planner(large_images(400), dataset_json(DATA, 10), chosen, "Dataset501_D")
        return float(np.prod(plans["configurations"]["3d_fullres"]["patch_size"]))

    assert patch(40) > patch(10)


def test_small_images_have_no_low_resolution():
    chosen = parse_settings({"configuration": "3d_lowres"})
    plans = planning.run_planner(large_images(64), dataset_json(DATA, 10), chosen, "Dataset501_D")
    with pytest.raises(Refused, match="no 3d_lowres") as refused:
        planning.only(plans, chosen)
    assert "2d or 3d_fullres" in str(refused.value)


@pytest.mark.parametrize(
    ("configuration", "edges"), [("2d", {"tile_size": [64, 64, 64]}), ("3d_fullres", {"network": TINY_2D})]
)
def test_edges_that_do_not_fit_the_configuration_are_refused(configuration: str, edges: dict[str, Any]):
    with pytest.raises(BadSetting, match="for " + configuration):
        parse_settings({"configuration": configuration, **edges})


def test_a_round_in_2d_and_its_mask(make_cohort, make_learner):
    """With nnU-Net's augmentation, whose flips prediction averages over: there are two axes, not three."""
    home, cohort = make_cohort("A")
    learner = make_learner(home, configuration="2d", network=TINY_2D, augmentation="default")
    made = learner.plan({"A": learner.fingerprint(cohort)})
    learner.prepare(cohort, made)
    first = learner.initial(made)
    update = learner.train(cohort, made, first, 1)
    assert {array.ndim for name, array in first.items() if name.endswith("conv.weight")} == {4}
    assert any(not np.array_equal(update.tensors[name], first[name]) for name in first)
    assert recipe.flipped_axes(made) == (0, 1)
    assert len(learner.evaluate(cohort, made, update.tensors, "test")) == 1


def test_a_round_with_a_residual_encoder(make_cohort, make_learner):
    home, cohort = make_cohort("A")
    learner = make_learner(home, planner="nnUNetPlannerResEncM")
    made = learner.plan({"A": learner.fingerprint(cohort)})
    learner.prepare(cohort, made)
    first = learner.initial(made)
    assert made["plans"]["configurations"]["3d_fullres"]["architecture"]["network_class_name"].endswith(
        "ResidualEncoderUNet"
    )
    assert learner.train(cohort, made, first, 1).steps == 3
