"""The recipe: everything a site needs to preprocess and train like the others, sealed by a hash.

::

    format       konsil.nnunet-recipe/1
    plans        nnU-Net's plans with the one configuration that is trained, and our settings under "konsil"
    dataset      dataset.json without any path; numTraining is the federation's total
    fingerprint  the merged one
    nnunetv2     version that planned
    sha256       of all of the above in canonical JSON

nnU-Net's plans name Python classes that it imports. A recipe comes over the wire, so a site accepts only the names
that nnU-Net's own planner writes.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Literal

from pydantic import ValidationError

from konsil.errors import BadMessage
from konsil.learners.nnunet.dataset import READER, dataset_json, dataset_name, digest
from konsil.learners.nnunet.settings import Data, NnUNetSettings
from konsil.types import Json

FORMAT: Literal["konsil.nnunet-recipe/1"] = "konsil.nnunet-recipe/1"
PLANS = "nnUNetPlans"
UNETS = "dynamic_network_architectures.architectures.unet"
NAMES: dict[str, set[str | None]] = {
    "network_class_name": {f"{UNETS}.PlainConvUNet", f"{UNETS}.ResidualEncoderUNet"},
    "conv_op": {"torch.nn.modules.conv.Conv2d", "torch.nn.modules.conv.Conv3d"},
    "norm_op": {"torch.nn.modules.instancenorm.InstanceNorm2d", "torch.nn.modules.instancenorm.InstanceNorm3d"},
    "nonlin": {"torch.nn.LeakyReLU"},
    "dropout_op": {None},
    "preprocessor_name": {"DefaultPreprocessor"},
    "resampling_fn_data": {"resample_data_or_seg_to_shape"},
    "resampling_fn_seg": {"resample_data_or_seg_to_shape"},
    "resampling_fn_probabilities": {"resample_data_or_seg_to_shape"},
    "image_reader_writer": {READER},
    "label_manager": {"LabelManager"},
}
NORMALIZATIONS = {"ZScoreNormalization", "CTNormalization", "NoNormalization", "RescaleTo01Normalization"}


def seal(content: Json) -> Json:
    """Add the format and the hash."""
    whole = {"format": FORMAT, **content}
    return {**whole, "sha256": digest(whole)}


def check(recipe: Json) -> None:
    """Raise BadMessage unless the recipe is whole and names only what nnU-Net's planner would."""
    if recipe.get("format") != FORMAT:
        raise BadMessage("this is not a recipe for nnU-Net", expected=FORMAT, got=repr(recipe.get("format"))[:60])
    body = {key: value for key, value in recipe.items() if key != "sha256"}
    if set(body) != {"format", "plans", "dataset", "fingerprint", "nnunetv2"} or recipe.get("sha256") != digest(body):
        raise BadMessage("the recipe was changed after it was made", expected="the content its hash was taken of")
    try:
        for name, value in named(recipe["plans"]):
            if value not in NAMES[name]:
                raise BadMessage(f"the recipe's {name} is not one of nnU-Net's own", got=repr(value)[:80])
    except (KeyError, TypeError, AttributeError) as error:
        raise BadMessage("the recipe's plans are not nnU-Net's", got=f"no usable {error}"[:80]) from error


def known(settings: Any) -> NnUNetSettings | None:
    """A recipe's settings, where an older version left out what it did not know yet; None if they are not usable."""
    try:
        return NnUNetSettings.model_validate(settings)
    except ValidationError:
        return None


def named(plans: Json) -> list[tuple[str, Any]]:
    """Every name in the plans that nnU-Net turns into a class or function."""
    found = [(key, plans[key]) for key in ("image_reader_writer", "label_manager")]
    for configuration in plans["configurations"].values():
        keys = ("preprocessor_name", "resampling_fn_data", "resampling_fn_seg", "resampling_fn_probabilities")
        found += [(key, configuration[key]) for key in keys]
        architecture = configuration["architecture"]
        found.append(("network_class_name", architecture["network_class_name"]))
        found += [(key, architecture["arch_kwargs"].get(key)) for key in architecture["_kw_requires_import"]]
        if not set(configuration["normalization_schemes"]) <= NORMALIZATIONS:
            raise BadMessage("the recipe names an unknown normalization", expected=", ".join(sorted(NORMALIZATIONS)))
    return found


def check_for(recipe: Json, data: Data, settings: NnUNetSettings, *, rounds: int, seed: int, run: str) -> None:
    """Check the recipe, and that it is the one this charter asks for."""
    check(recipe)
    expected = {
        "settings": (known(recipe["plans"].get("konsil", {}).get("settings")), settings),
        "rounds": (recipe["plans"].get("konsil", {}).get("rounds"), rounds),
        "seed": (recipe["plans"].get("konsil", {}).get("seed"), seed),
        "data set": (recipe["plans"].get("dataset_name"), dataset_name(run)),
        "channels and labels": (
            {**recipe["dataset"], "numTraining": 0},
            dataset_json(data, 0),
        ),
    }
    for what, (got, wanted) in expected.items():
        if got != wanted:
            raise BadMessage(f"the recipe is not the one of this charter: its {what} differ", hint="Ask the centre")


def configuration_of(recipe: Json) -> str:
    """Name of the one configuration that is trained."""
    (name,) = recipe["plans"]["configurations"]
    return str(name)


def flipped_axes(recipe: Json) -> tuple[int, ...] | None:
    """The axes along which training flipped: all that the network has, or None if it did not augment."""
    axes = len(recipe["plans"]["configurations"][configuration_of(recipe)]["patch_size"])
    return tuple(range(axes)) if settings_of(recipe).augmentation == "default" else None


def plans_for_prediction(recipe: Json) -> Json:
    """nnU-Net's plans as its predictor shall see them: the tile of the charter in place of the training patch."""
    plans = deepcopy({key: value for key, value in recipe["plans"].items() if key != "konsil"})
    plan = plans["configurations"][configuration_of(recipe)]
    plan["patch_size"] = tile_of(settings_of(recipe), plan)
    return plans


def tile_of(settings: NnUNetSettings, plan: Json) -> list[int]:
    """Edges of a tile in voxels (z, y, x): as asked, but none longer than the median image, nor shorter than the patch.

    A tile that hangs over the image is filled with zeros, and networks with instance normalisation, which learned from
    full patches, answer those with bad masks.
    """
    patch = [int(edge) for edge in plan["patch_size"]]
    if settings.tile_size is None:
        return patch
    fitting = [int(edge) // settings.tile_step * settings.tile_step for edge in plan["median_image_size_in_voxels"]]
    asked = settings.tile_size[-len(patch) :]  # a 2d plan has (y, x)
    return [max(least, min(edge, most)) for least, edge, most in zip(patch, asked, fitting, strict=True)]


def settings_of(recipe: Json) -> NnUNetSettings:
    """The settings the recipe was made with."""
    return NnUNetSettings.model_validate(recipe["plans"]["konsil"]["settings"])
