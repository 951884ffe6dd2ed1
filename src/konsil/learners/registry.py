"""The learners by name, as a charter names them.

A learner's module is imported only when it is asked for, so that reading a charter does not load torch.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from konsil.errors import BadInput, BadSetting, Missing
from konsil.files import read_json
from konsil.learners.protocol import Learner, Segmenter
from konsil.types import Json

LEARNERS = {"nnunet": "konsil.learners.nnunet.learner:NnUNet"}
MODELS = {"konsil.nnunet-recipe/1": "konsil.learners.nnunet.predict:open_model"}
EXPORTS = {"konsil.nnunet-recipe/1": "konsil.learners.nnunet.export:export"}


def names() -> list[str]:
    """The names a charter may use."""
    return sorted(LEARNERS)


def create(
    name: str, settings: Json, *, rounds: int, seed: int, home: Path, run: str, data: Json, extra_rounds: int = 0
) -> Learner:
    """Make the learner a charter asks for.

    `settings` is the learner's part of the charter; unknown or unusable settings are refused (BadSetting). `rounds` is
    the length of the whole federation (learning rates follow it), `extra_rounds` how many more an extension has added
    (the rates of the added rounds follow the longer way), `home` the folder of this site or centre, `run` the
    federation's name, `data` the charter's `{"name": str, "channels": [str, …], "labels": {str: int, …}}`.
    Nothing is written and no heavy library is loaded before a method of the learner is called.
    """
    if name not in LEARNERS:
        raise BadSetting("the charter asks for an unknown learner", expected=" or ".join(names()), got=repr(name))
    module, _, kind = LEARNERS[name].partition(":")
    made = getattr(importlib.import_module(module), kind)(
        settings, rounds=rounds, seed=seed, home=home, run=run, data=data, extra_rounds=extra_rounds
    )
    return cast(Learner, made)


def open_model(folder: Path) -> Segmenter:
    """Open a model folder that a learner's `save` wrote; its recipe says which learner's."""
    return cast(Segmenter, function_for(folder, MODELS)(folder))


def export_model(folder: Path, out: Path, *, replace: bool = False) -> Json:
    """Write a model folder in the layout of the framework that trained it, for people without Konsil.

    Returns what the framework's own commands need to be told. Raises BadInput if there is something at `out`,
    unless a zip may be replaced.
    """
    return cast(Json, function_for(folder, EXPORTS)(folder, out, replace=replace))


def card_of(folder: Path) -> Json:
    """The card beside a stored model; empty where there is none."""
    card = folder / "model-card.json"
    return read_json(card) if card.is_file() else {}


def function_for(folder: Path, table: Mapping[str, str]) -> Any:
    """The function that a table names for the kind of model in a folder."""
    if not (folder / "recipe.json").is_file():
        others = sorted(path.parent.name for path in folder.parent.glob("*/recipe.json"))
        hint = f"Models here: {', '.join(others)}" if others else "No model is stored here yet"
        what = "this is not a model folder" if folder.is_dir() else f"there is no model {folder.name} here"
        raise Missing(what, expected=f"a file recipe.json in {folder}", hint=hint)
    recipe = read_json(folder / "recipe.json")
    if recipe.get("format") not in table:
        raise BadInput("the model is of an unknown kind", expected=" or ".join(table), got=repr(recipe.get("format")))
    module, _, function = table[recipe["format"]].partition(":")
    return getattr(importlib.import_module(module), function)
