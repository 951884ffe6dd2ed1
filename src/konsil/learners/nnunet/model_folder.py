"""A trained model on disk: for us, and in nnU-Net's layout for everybody else.

::

    recipe.json  model.safetensors                         what `konsil predict` reads; recipe.json is written last
    plans.json  dataset.json  dataset_fingerprint.json     nnU-Net's
    fold_all/checkpoint_final.pth                          made here from the tensors, for nnU-Net's own command:

    nnUNetv2_predict_from_modelfolder -i IN -o OUT -m FOLDER -f all

The checkpoint names nnU-Net's plain trainer, so predicting with it does not need Konsil. It is written and never read.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from torch import nn

from konsil.errors import BadInput, Missing
from konsil.files import read_json, replacing, sha256_of, write_json
from konsil.learners.nnunet import network, tensors
from konsil.learners.nnunet.recipe import check, configuration_of, flipped_axes, plans_for_prediction
from konsil.types import Json, Tensors

WEIGHTS, RECIPE = "model.safetensors", "recipe.json"


def write(recipe: Json, trained: Tensors, folder: Path) -> None:
    """Write the model folder; writing the same model again changes nothing."""
    built = network.build(recipe)
    tensors.write(built, trained)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RECIPE).unlink(missing_ok=True)
    write_nnunet(recipe, built, folder)
    with replacing(folder / WEIGHTS) as part:
        save_file(dict(trained), part, metadata={"recipe": recipe["sha256"]})
    write_json(folder / RECIPE, recipe)


def write_nnunet(recipe: Json, built: nn.Module, folder: Path) -> None:
    """Write what nnU-Net's predictor reads: plans, dataset.json, fingerprint and a checkpoint of the fold "all"."""
    write_json(folder / "plans.json", plans_for_prediction(recipe))
    write_json(folder / "dataset.json", recipe["dataset"])
    write_json(folder / "dataset_fingerprint.json", recipe["fingerprint"])
    with replacing(folder / "fold_all" / "checkpoint_final.pth") as part, part.open("wb") as stream:
        torch.save(checkpoint(recipe, built), stream)  # given a path, torch writes its name into the file


def checkpoint(recipe: Json, built: nn.Module) -> Json:
    """What nnU-Net's predictor reads from a checkpoint (`initialize_from_trained_model_folder`, 2.8.1)."""
    return {
        "network_weights": built.state_dict(),
        "trainer_name": "nnUNetTrainer",
        "init_args": {"configuration": configuration_of(recipe)},
        "inference_allowed_mirroring_axes": flipped_axes(recipe),
    }


def read(folder: Path) -> tuple[Json, nn.Module, str]:
    """Recipe, network with the trained weights, and SHA-256 of the weights' file."""
    recipe = read_recipe(folder)
    built = network.build(recipe)
    tensors.write(built, read_weights(folder))
    return recipe, built, sha256_of(folder / WEIGHTS)


def read_recipe(folder: Path) -> Json:
    """The recipe of a model folder, checked."""
    if not (folder / RECIPE).is_file():
        raise Missing("this is not a model folder", expected=f"{RECIPE} and {WEIGHTS} in {folder}")
    recipe = read_json(folder / RECIPE)
    check(recipe)
    return recipe


def read_weights(folder: Path) -> Tensors:
    """The tensors of a model folder, float32 by name."""
    try:
        return load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise BadInput("the model's weights cannot be read", expected=f"{folder / WEIGHTS}") from error
