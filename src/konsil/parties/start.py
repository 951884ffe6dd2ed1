"""The first weights of a run: drawn by the learner, or those of a given model that the charter names.

The given model is a folder with `recipe.json` and `model.safetensors`, as a former federation has stored it: in
`<home>/models/<name>` of the centre, or put beside the run by `konsil run --start FOLDER`. Only these two are read.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import cast

from konsil.errors import BadInput, Missing
from konsil.federation.charter import Start
from konsil.files import read_json, replacing, sha256_of
from konsil.learners.protocol import Learner, TransferLearner, Transferred
from konsil.parties.words import taken_line
from konsil.types import Json

RECIPE, WEIGHTS = "recipe.json", "model.safetensors"
BESIDE = "start"
log = logging.getLogger(__name__)


def first_weights(start: Start | None, learner: Learner, recipe: Json, home: Path, folder: Path) -> Transferred:
    """The weights of round 0. Refused, in words, where the given model's network is not the recipe's."""
    if start is None:
        return Transferred(learner.initial(recipe))
    given, able = given_model(start, home, folder), cast(TransferLearner, learner)
    found = able.initial_from(recipe, given, start.new_channels, start.other_tensors)
    log.info("first weights: %s", taken_line(start.model, found.taken, found.drawn))
    return found


def start_facts(start: Start | None, found: Transferred) -> Json:
    """What the first global message says of a given model: its hash, tensors taken, names of the drawn ones if any."""
    if start is None:
        return {}
    return {"start": start.sha256, "taken": found.taken, **({"drawn": list(found.drawn)} if found.drawn else {})}


def given_model(start: Start, home: Path, folder: Path) -> Path:
    """The folder of the given model. Missing if it is not there, BadInput if its weights are not the charter's."""
    beside = folder / BESIDE
    place = beside if (beside / WEIGHTS).is_file() else home / "models" / start.model
    for name in (RECIPE, WEIGHTS):
        if not (place / name).is_file():
            raise Missing(
                f"the model {start.model} that the charter starts from is not here",
                expected=f"{RECIPE} and {WEIGHTS} in {place}",
                hint="Give its folder: konsil run CHARTER.json --start FOLDER",
            )
    check_whole(place)
    if (got := sha256_of(place / WEIGHTS)) != start.sha256:
        raise BadInput(
            f"the model {start.model} is not the one that the charter starts from",
            expected=f"weights with SHA-256 {start.sha256}",
            got=got,
        )
    return place


def named_start(home: Path, model: str) -> Json:
    """What a charter says of a model that is stored at this centre: its name, and the hash of its weights. Missing."""
    there = sorted(path.parent.name for path in home.glob(f"models/*/{WEIGHTS}"))
    if model not in there:
        what = f"There is no model {model} here to start from"
        raise Missing(what, expected=f"one of: {', '.join(there) or 'none yet'}")
    return {"model": model, "sha256": sha256_of(home / "models" / model / WEIGHTS)}


def check_whole(folder: Path) -> None:
    """BadInput for a model whose card says that tensors lack, as a centre's under FedBN does."""
    card = folder / "model-card.json"
    if card.is_file() and read_json(card).get("lacks"):
        raise BadInput(
            "this model cannot be started from: its normalisation layers stayed at the sites",
            hint="Take the model that a site stored",
        )


def keep_given(source: Path, folder: Path) -> None:
    """Copy the two files of a given model beside the run in `folder`. Missing if `source` is no model folder."""
    check_whole(source)
    for name in (WEIGHTS, RECIPE):
        if not (source / name).is_file():
            raise Missing("this is not a model folder", expected=f"{RECIPE} and {WEIGHTS} in {source}")
        with replacing(folder / BESIDE / name) as part:
            shutil.copyfile(source / name, part)
