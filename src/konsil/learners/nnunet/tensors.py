"""A network as named arrays, each once.

nnU-Net's U-Nets know most parameters under several names: the decoder holds the encoder, and every block its parts
twice (292 names for 108 tensors in the default net). Averaging a state dict by name would be undone by the last alias
that is loaded. So tensors are told apart by the memory they live in, exchanged under their first name, and written back
in place, which reaches every alias.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from konsil.errors import BadMessage, Diverged
from konsil.types import Tensors


def unique(network: nn.Module) -> dict[str, torch.Tensor]:
    """Floating-point parameters and buffers by first name, in the network's order, each once.

    Integer buffers (counters such as num_batches_tracked) stay at the site: their average means nothing.
    """
    seen: set[tuple[Any, ...]] = set()
    found = {}
    for name, tensor in plain(network).state_dict().items():
        place = (tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tuple(tensor.shape))
        if tensor.is_floating_point() and place not in seen:
            seen.add(place)
            found[name] = tensor
    return found


def norms(network: nn.Module) -> list[str]:
    """First names of the parameters and statistics of normalisation layers: instance, batch, group, layer norm."""
    places = {
        tensor.untyped_storage().data_ptr()
        for layer in plain(network).modules()
        if isinstance(layer, _NormBase | nn.GroupNorm | nn.LayerNorm)
        for tensor in layer.state_dict().values()
    }
    return [name for name, tensor in unique(network).items() if tensor.untyped_storage().data_ptr() in places]


def plain(network: nn.Module) -> nn.Module:
    """The network itself where torch.compile has wrapped it."""
    return cast(nn.Module, getattr(network, "_orig_mod", network))


def read(network: nn.Module) -> dict[str, Any]:
    """Copy the network's tensors out, as contiguous float32 arrays. Diverged if a number is not finite."""
    arrays = {}
    for name, tensor in unique(network).items():
        array = tensor.detach().to("cpu", torch.float32, copy=True).contiguous().numpy()
        if not np.isfinite(array).all():
            raise Diverged(
                "weights", f"training made numbers in {name} that are not finite", hint="Lower the learning rate"
            )
        arrays[name] = array
    return arrays


def write(network: nn.Module, tensors: Tensors) -> None:
    """Copy arrays into the network in place, so that every alias sees them. BadMessage if they do not fit."""
    targets = unique(network)
    check_names(set(targets), set(tensors))
    with torch.no_grad():
        for name, target in targets.items():
            array = np.asarray(tensors[name])
            if array.shape != tuple(target.shape) or array.dtype != np.float32:
                raise BadMessage(
                    f"the tensor {name} does not fit the network",
                    expected=f"float32 {tuple(target.shape)}",
                    got=f"{array.dtype} {array.shape}",
                )
            if not np.isfinite(array).all():
                raise BadMessage(f"the tensor {name} holds numbers that are not finite")
            target.copy_(torch.from_numpy(np.require(array, requirements=["C", "W"])))


def check_names(expected: set[str], got: set[str]) -> None:
    """Raise BadMessage naming one tensor that is missing or too many."""
    for name in sorted(expected - got)[:1]:
        raise BadMessage(f"the tensor {name} is missing", expected=f"{len(expected)} tensors", got=str(len(got)))
    for name in sorted(got - expected)[:1]:
        raise BadMessage(
            f"the network has no tensor {name[:80]}", expected=f"{len(expected)} tensors", got=str(len(got))
        )
