"""One plan for all sites, made where no image is.

nnU-Net's planner reads two files, a fingerprint and a `dataset.json`; given the merged fingerprint and the total number
of cases it plans as if it had seen everything. Patch and batch size therefore come from the federation, not from the
site that happens to be small.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Mapping
from copy import deepcopy
from importlib import metadata
from pathlib import Path
from typing import Any

from konsil.errors import Refused
from konsil.files import read_json, write_json
from konsil.learners.nnunet import environment, merging, network, tensors
from konsil.learners.nnunet.dataset import FILE_ENDING, dataset_json, dataset_name
from konsil.learners.nnunet.recipe import PLANS, seal
from konsil.learners.nnunet.settings import Data, Network, NnUNetSettings
from konsil.types import Json

PLANNERS = "nnunetv2.experiment_planning.experiment_planners"
MODULES = {"ExperimentPlanner": f"{PLANNERS}.default_experiment_planner"}
RESENC = f"{PLANNERS}.residual_unets.residual_encoder_unet_planners"


def plan(
    fingerprints: Mapping[str, Json], data: Data, settings: NnUNetSettings, *, rounds: int, seed: int, run: str
) -> Json:
    """The recipe: merged fingerprint, nnU-Net's plans, `dataset.json`, settings, seed and a hash over all of it.

    Raises Refused or BadMessage, naming the site, if the fingerprints do not belong together.
    """
    sites = merging.parse(fingerprints)
    merging.agree(sites, data, settings)
    total = sum(one.train + one.validation for one in sites.values())
    dataset = dataset_json(data, total)
    return planned(merging.merge(sites, data), dataset, settings, rounds=rounds, seed=seed, run=run)


def planned(merged: Json, dataset: Json, settings: NnUNetSettings, *, rounds: int, seed: int, run: str) -> Json:
    """The recipe for these settings. The normalisation layers are named here, where the network is known."""
    plans = only(run_planner(merged, dataset, settings, dataset_name(run)), settings)
    plans["konsil"] = {"settings": settings.model_dump(mode="json"), "rounds": rounds, "seed": seed}
    plans["konsil"]["norms"] = tensors.norms(network.build({"plans": plans, "dataset": dataset}))
    return seal({"plans": plans, "dataset": dataset, "fingerprint": merged, "nnunetv2": metadata.version("nnunetv2")})


def run_planner(merged: Json, dataset: Json, settings: NnUNetSettings, name: str) -> Json:
    """Let nnU-Net's planner work in a folder of its own that holds the two files it reads and no image."""
    with tempfile.TemporaryDirectory(prefix="konsil-plan-") as folder, environment.at(Path(folder)):
        raw, preprocessed = Path(folder) / "nnUNet_raw" / name, Path(folder) / "nnUNet_preprocessed" / name
        nowhere = {"elsewhere": {"images": [f"elsewhere{FILE_ENDING}"], "label": f"elsewhere{FILE_ENDING}"}}
        write_json(raw / "dataset.json", {**dataset, "dataset": nowhere})
        write_json(preprocessed / "dataset_fingerprint.json", merged)
        kind = getattr(importlib.import_module(MODULES.get(settings.planner, RESENC)), settings.planner)
        kind(name, gpu_memory_target_in_gb=settings.gpu_memory_target_gb, plans_name=PLANS).plan_experiment()
        return read_json(preprocessed / f"{PLANS}.json")


def only(plans: Json, settings: NnUNetSettings) -> Json:
    """The plans with the one configuration that is trained, shrunk if the charter says so."""
    configurations = plans["configurations"]
    if settings.configuration not in configurations:
        raise Refused(
            f"nnU-Net plans no {settings.configuration} for these images",
            expected=" or ".join(sorted(configurations)),
            hint="Choose another configuration in the charter",
        )
    chosen = deepcopy(configurations[settings.configuration])
    chosen.pop("next_stage", None)
    if settings.network is not None:
        shrink(chosen, settings.network)
    return {**plans, "configurations": {settings.configuration: chosen}}


def shrink(configuration: dict[str, Any], network: Network) -> None:
    """Put the charter's network in place of the planner's: kernels of 3, and strides of 2 from the second stage on."""
    n, axes = len(network.features_per_stage), len(network.patch_size)
    arguments = configuration["architecture"]["arch_kwargs"]
    per_stage = "n_blocks_per_stage" if "n_blocks_per_stage" in arguments else "n_conv_per_stage"
    arguments.update(
        {
            "n_stages": n,
            "features_per_stage": list(network.features_per_stage),
            "kernel_sizes": [[3] * axes] * n,
            "strides": [[1] * axes] + [[2] * axes] * (n - 1),
            per_stage: [network.n_conv_per_stage] * n,
            "n_conv_per_stage_decoder": [network.n_conv_per_stage] * (n - 1),
        }
    )
    configuration.update(patch_size=list(network.patch_size), batch_size=network.batch_size)
