"""Starting from given weights: a former federation's model, perhaps with other channels.

Every tensor is taken as it is, bit by bit. Only the first convolution knows channels: its kernels, of shape
(features, channels, …), are put where the recipe has the channel of the same name. A channel that the model does not
know gets zeros (the network then computes at first what it computed before), the mean of the model's channels, or what
the recipe's seed draws; a channel that is no longer asked for is dropped. Anything else that differs is refused:
weights without the network and the labels they were trained with mean nothing.

Unless the charter lets other tensors be drawn. Then every tensor with the name and the shape of one in the recipe's
network is taken, and the rest is drawn. nnU-Net numbers the stages of its decoder from the coarsest one; where the
networks have not equally many, they are counted from the finest, so that a stage meets one of its own resolution. With
other labels the layers that draw them are not taken. The patch is no part of the network: another one changes nothing.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from konsil.errors import Refused
from konsil.learners.nnunet import model_folder, network, tensors
from konsil.learners.nnunet.recipe import configuration_of
from konsil.learners.protocol import NewChannels, Transferred
from konsil.types import Json, Tensors

LABEL_LAYERS = "decoder.seg_layers."
DECODER = re.compile(r"(?P<kind>decoder\.(?:stages|transpconvs|seg_layers)\.)(?P<stage>\d+)(?=\.)")
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


def matched(recipe: Json, given: Path, new_channels: NewChannels) -> Transferred:
    """What fits of the model in `given`, the rest drawn by the seed. Refused where no convolution fits."""
    theirs, weights = model_folder.read_recipe(given), model_folder.read_weights(given)
    check_kind(recipe, theirs)
    drawn = tensors.read(network.build(recipe))
    offered = renumbered(weights, stages_of(recipe) - stages_of(theirs))
    if recipe["dataset"]["labels"] != theirs["dataset"]["labels"]:
        offered = {name: array for name, array in offered.items() if not name.startswith(LABEL_LAYERS)}
    first = first_convolution(drawn)
    if first in offered and alike_but_channels(drawn[first], offered[first]):
        ours = channels_of(recipe), channels_of(theirs)
        offered[first] = by_channel(drawn[first], offered[first], *ours, new_channels)
    fitting = {name for name, array in drawn.items() if name in offered and offered[name].shape == array.shape}
    if not any(drawn[name].ndim >= 4 for name in fitting):
        raise Refused("no convolution of the given model fits the network planned for this federation", hint=HINT)
    start = {name: offered[name] if name in fitting else array for name, array in drawn.items()}
    tensors.write(network.build(recipe), start)  # refuses another type, and what is not finite
    return Transferred(start, tuple(name for name in drawn if name not in fitting))


def check_kind(recipe: Json, theirs: Json) -> None:
    """Refused unless both networks are of one class with the same kinds of layers; their sizes may differ."""
    ours, other = architecture(recipe), architecture(theirs)
    for key in ("class", "conv_op", "norm_op", "nonlin"):
        if ours.get(key) != other.get(key):
            raise Refused(
                f"the given model's network is of another kind than the one planned for this federation: {key} differs",
                expected=f"{ours.get(key)}"[:120],
                got=f"{other.get(key)}"[:120],
                hint=HINT,
            )


def stages_of(recipe: Json) -> int:
    """How many resolutions the network of a recipe has."""
    return int(architecture(recipe)["n_stages"])


def renumbered(weights: Tensors, more: int) -> dict[str, Any]:
    """The tensors with the stages of the decoder counted as in a network that has `more` stages (may be negative)."""
    found = {}
    for name, array in weights.items():
        part = DECODER.match(name)
        number = int(part["stage"]) + more if part else 0
        if number >= 0:  # below that the coarsest stages have no counterpart
            found[f"{part['kind']}{number}{name[part.end() :]}" if part else name] = array
    return found


def alike_but_channels(ours: Any, theirs: Any) -> bool:
    """Whether two arrays of kernels (features, channels, …) differ in their channels at most."""
    return bool(ours.shape[:1] + ours.shape[2:] == theirs.shape[:1] + theirs.shape[2:])


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
