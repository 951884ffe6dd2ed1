"""What planners and configurations promise, kept: trained at two sites, averaged, stored, and a mask drawn.

That plans are made for all of them, test_nnunet_planners.py says. The networks are small; low resolution, which takes
large images, and the networks that the large planners choose by themselves are part of `make test-all`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from safetensors.numpy import load_file

from konsil.federation.charter import parse_charter
from konsil.files import read_json
from konsil.learners.nnunet.learner import NnUNet
from konsil.learners.nnunet.recipe import configuration_of
from konsil.learners.protocol import Update
from konsil.learners.registry import open_model
from konsil.parties.simulation import Simulation
from tests.learners.conftest import DATA, SETTINGS

STEPS = 2
SHORT = {**SETTINGS, "batches_per_epoch": STEPS, "validation_batches": 0, "mirroring": False}
TINY_2D = {"patch_size": [16, 16], "features_per_stage": [4, 8, 16], "n_conv_per_stage": 1, "batch_size": 2}
LARGE = 168  # voxels along an edge: more than four of nnU-Net's patches for 2 GB, so it plans a low resolution
CHOICES: dict[str, dict[str, Any]] = {
    "3d_fullres": {},
    "2d": {"configuration": "2d", "network": TINY_2D},
    "3d_lowres": {"configuration": "3d_lowres", "gpu_memory_target_gb": 2, "tile_size": [64, 64, 64]},
    "nnUNetPlannerResEncM": {"planner": "nnUNetPlannerResEncM"},
    "nnUNetPlannerResEncL": {"planner": "nnUNetPlannerResEncL", "gpu_memory_target_gb": 24},
    "nnUNetPlannerResEncXL": {"planner": "nnUNetPlannerResEncXL", "gpu_memory_target_gb": 40},
}


@pytest.fixture
def handed_in(monkeypatch: pytest.MonkeyPatch) -> list[Update]:
    """Every update that a site of this test trains, in order."""
    train, updates = NnUNet.train, list[Update]()

    def noting(self: NnUNet, *args: Any, **more: Any) -> Update:
        updates.append(train(self, *args, **more))
        return updates[-1]

    monkeypatch.setattr(NnUNet, "train", noting)
    return updates


def federation(make_cohort: Any, out: Path, settings: dict[str, Any], *, edge: int = 20) -> tuple[Path, Any]:
    """A round of two sites, of which one has a test patient: the stored model's folder, and that site's cohort."""
    cohorts = {
        site: make_cohort(site, splits=splits, edge=edge, seed=number)[1]
        for number, (site, splits) in enumerate((("A", ("train", "test")), ("B", ("train",))))
    }
    charter = parse_charter(
        {"run": "tiny-run", "sites": ["A", "B"], "rounds": 1, "compare_with_local": False, "seed": 3, "data": DATA,
         "learner": {"name": "nnunet", "settings": settings}}
    )  # fmt: skip
    simulation = Simulation(charter, {site: one.root for site, one in cohorts.items()}, out)
    assert simulation.run().state == "finished"
    assert simulation.summary["evaluation"]["A"]["federated"]["cases"] == 1
    return out / "sites" / "A" / "models" / "tiny-run", cohorts["A"]


def check(folder: Path, cohort: Any, updates: list[Update]) -> dict[str, Any]:
    """The model is the mean of what both sites trained, and its mask lies on the image; returns the plan."""
    recipe, weights = read_json(folder / "recipe.json"), load_file(folder / "model.safetensors")
    assert [(update.steps, update.cases) for update in updates] == [(STEPS, 1)] * 2
    one, other = (update.tensors for update in updates)
    assert set(weights) == set(one)
    for name, array in weights.items():
        np.testing.assert_allclose(array, (one[name] + other[name]) / 2, rtol=1e-5, atol=1e-7, err_msg=name)
    assert any(not np.array_equal(one[name], other[name]) for name in one)
    (case,) = cohort.split("test")
    mask, _ = open_model(folder).segment({name: cohort.root / str(path) for name, path in case.images.items()})
    assert mask.shape == nib.load(cohort.root / str(case.images["FLAIR"])).shape[::-1]
    assert set(np.unique(mask)) <= {0, 1}
    plan: dict[str, Any] = recipe["plans"]["configurations"][configuration_of(recipe)]
    return plan


@pytest.mark.parametrize(
    "choice", [pytest.param(name, marks=pytest.mark.demo if name == "3d_lowres" else ()) for name in CHOICES]
)
def test_two_sites_train_it_and_their_mean_draws(make_cohort, tmp_path: Path, handed_in, choice: str):
    settings = {**SHORT, **CHOICES[choice]}
    edge = LARGE if choice == "3d_lowres" else 20
    folder, cohort = federation(make_cohort, tmp_path / "out", settings, edge=edge)
    plan = check(folder, cohort, handed_in)
    kind = "ResidualEncoderUNet" if "ResEnc" in choice else "PlainConvUNet"
    assert plan["architecture"]["network_class_name"].endswith(kind)
    assert len(plan["patch_size"]) == (2 if choice == "2d" else 3)
    assert (min(plan["spacing"]) > 1.0) == (choice == "3d_lowres")  # trained on coarser voxels than the images have


@pytest.mark.demo
@pytest.mark.parametrize("planner", ["nnUNetPlannerResEncL", "nnUNetPlannerResEncXL"])
def test_a_large_planners_own_network(make_cohort, tmp_path: Path, handed_in, planner: str):
    """As planned for 20³ voxels: widths 32, 64, 128 and more."""
    settings = {key: value for key, value in {**SHORT, **CHOICES[planner]}.items() if key != "network"}
    folder, cohort = federation(make_cohort, tmp_path / "out", settings)
    plan = check(folder, cohort, handed_in)
    assert plan["architecture"]["arch_kwargs"]["features_per_stage"][:3] == [32, 64, 128]
