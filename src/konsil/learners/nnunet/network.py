"""The network of a recipe, and its first weights.

nnU-Net draws weights by He's rule (He et al. 2015) from torch's random numbers; seeding them with the recipe's seed
gives the same bits wherever the same torch runs on a CPU. Only the centre draws; sites receive the tensors.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch import nn

from konsil.learners.nnunet.recipe import configuration_of
from konsil.types import Json


def build(recipe: Json, *, seed: int | None = None) -> nn.Module:
    """The network on the CPU, with weights drawn from `seed` (None: the recipe's). Leaves torch's own state alone."""
    plans: Any = PlansManager(recipe["plans"])
    configuration = plans.get_configuration(configuration_of(recipe))
    dataset = recipe["dataset"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe["plans"]["konsil"]["seed"] if seed is None else seed)
        network = nnUNetTrainer.build_network_architecture(
            plans,
            configuration,
            determine_num_input_channels(plans, configuration, dataset),
            plans.get_label_manager(dataset).num_segmentation_heads,
            enable_deep_supervision=False,
        )
    return cast(nn.Module, network)
