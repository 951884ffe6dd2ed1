"""Momentum that travels with the weights, where the charter's `optimizer_state` is "share".

It is handed in, averaged and sent out under the names of its parameters with "momentum/" before them, in float32: twice
as much to exchange. Stored models hold none.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from konsil.errors import Diverged
from konsil.learners.nnunet import tensors
from konsil.learners.nnunet.keepsake import MOMENTUM, Keepsake
from konsil.types import Tensors


def parted(given: Tensors) -> tuple[dict[str, Any], dict[str, Any]]:
    """The weights among tensors, and the momentum by the names of the parameters; empty where none is shared."""
    weights = {name: array for name, array in given.items() if not name.startswith(MOMENTUM)}
    momentum = {name.removeprefix(MOMENTUM): a for name, a in given.items() if name.startswith(MOMENTUM)}
    return weights, momentum


def at_rest(network: nn.Module) -> dict[str, Any]:
    """The momentum before the first step, under the names it is exchanged by: zeros."""
    named = tensors.plain(network).named_parameters()
    return {MOMENTUM + name: np.zeros(tuple(parameter.shape), np.float32) for name, parameter in named}


def handed_in(network: nn.Module, kept: Keepsake) -> dict[str, Any]:
    """The momentum after a round, as it is exchanged. Diverged if a number is not finite."""
    copied = {name: tensor.to(torch.float32, copy=True).numpy() for name, tensor in kept.momentum.items()}
    found = at_rest(network) | {MOMENTUM + name: array for name, array in copied.items()}
    for name, array in found.items():
        if not np.isfinite(array).all():
            raise Diverged("weights", f"training made numbers in {name} that are not finite")
    return found
