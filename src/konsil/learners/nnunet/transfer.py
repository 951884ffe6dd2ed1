"""Starting from given weights: a former federation's model, perhaps with other channels.

Every tensor is taken as it is, bit by bit. Only the first convolution knows channels: its kernels, of shape
(features, channels, …), are put where the recipe has the channel of the same name. A channel that the model does not
know gets zeros (the network then computes at first what it computed before), the mean of the model's channels, or what
the recipe's seed draws; a channel that is no longer asked for is dropped. Anything else that differs is refused:
weights without the network and the labels they were trained with mean nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from konsil.errors import Refused
from konsil.learners.nnunet import model_folder, network, tensors
from konsil.learners.nnunet.recipe import configuration_of
from konsil.learners.protocol import NewChannels
from konsil.types import Json, Tensors

HINT = "Plan with the settings of that model (planner, gpu_memory_target_gb, configuration, network), or start anew"


def transferred(recipe: Json, given: Path, new_channels: NewChannels) -> Tensors:
    """First weights for `recipe` from the model folder `given`. Refused where network or labels differ."""
    theirs, weights = model_folder.read_recipe(given), model_folder.read_weights(given)
    check_alike(recipe, theirs)
    drawn = tensors.read(network.build(recipe))
    first = first_convolution(drawn)
    tensors.check_names(set(drawn), set(weights))
    mapped = by_channel(drawn[first], weights[first], channels_of(recipe), channels_of(theirs), new_channels)
    start = {name: mapped if name == first else weights[name] for name in drawn}
    tensors.write(network.build(recipe), start)  # refuses another shape, another type, and what is not finite
    return start


def check_alike(recipe: Json, theirs: Json) -> None:
    """Refused, naming the first difference, unless labels and network are the same."""
    if recipe["dataset"]["labels"] != theirs["dataset"]["labels"]:
        raise Refused(
            "the given model draws other labels than the charter asks for",
            expected=", ".join(recipe["dataset"]["labels"]),
            got=", ".join(theirs["dataset"]["labels"]),
        )
    ours, other = architecture(recipe), architecture(theirs)
    for key in sorted(ours.keys() | other.keys()):
        if ours.get(key) != other.get(key):
            raise Refused(
                f"the given model's network is not the one planned for this federation: {key} differs",
                expected=f"{ours.get(key)}"[:120],
                got=f"{other.get(key)}"[:120],
                hint=HINT,
            )


def architecture(recipe: Json) -> dict[str, Any]:
    """What makes the network of a recipe: its class and the arguments it is built with."""
    configuration = recipe["plans"]["configurations"][configuration_of(recipe)]
    plan = configuration["architecture"]
    return {"class": plan["network_class_name"], "spacing": configuration["spacing"], **plan["arch_kwargs"]}


def channels_of(recipe: Json) -> list[str]:
    """The names of the input channels, in order."""
    names = recipe["dataset"]["channel_names"]
    return [names[str(index)] for index in range(len(names))]


def first_convolution(drawn: Tensors) -> str:
    """The tensor that the input meets: the first kernels in the network's order."""
    return next(name for name, array in drawn.items() if array.ndim >= 4)


def by_channel(drawn: Any, given: Any, ours: list[str], theirs: list[str], new_channels: NewChannels) -> Any:
    """Kernels (features, channels, …) in our channels' order, from those in their order."""
    if given.ndim != drawn.ndim or given.shape[1] != len(theirs) or drawn.shape[1] != len(ours):
        raise Refused("the given model's first convolution does not fit its channels", got=f"shape {given.shape}")
    new = {"zero": np.zeros_like(drawn), "mean": np.repeat(given.mean(axis=1, keepdims=True), len(ours), axis=1)}
    mapped = np.array(new.get(new_channels, drawn), dtype=np.float32)
    for place, channel in enumerate(ours):
        if channel in theirs:
            mapped[:, place] = given[:, theirs.index(channel)]
    return mapped
