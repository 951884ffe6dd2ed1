"""Preprocessing by the common plan: crop, normalise, resample, once per case.

nnU-Net's own preprocessor does each case; we ask it case by case, in this process, so that a killed run keeps what is
done (nnU-Net's `run` deletes everything first and works through a pool of spawned interpreters). A case is written
beside its place and moved there; its `.pkl` comes last and says that it is whole. What was made for another recipe or
another cohort is removed. The split is the cohort's, by patient, never nnU-Net's own.
"""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any

from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from konsil.cohort.frozen import FrozenCohort
from konsil.errors import BadInput, Missing
from konsil.files import read_json, write_bytes, write_json
from konsil.learners.nnunet import dataset
from konsil.learners.nnunet.dataset import LabelledCase
from konsil.learners.nnunet.recipe import PLANS, configuration_of
from konsil.learners.nnunet.settings import Data
from konsil.types import Json

log = logging.getLogger(__name__)
PARTS = (".b2nd", "_seg.b2nd", ".pkl")  # the last one says that the case is whole


def identity(cohort: FrozenCohort, recipe: Json) -> Json:
    """What preprocessed data were made from: the recipe and the cohort's content."""
    return {"recipe": recipe["sha256"], "cohort": dataset.digest(cohort.content())}


def folder_of(home: Path, recipe: Json) -> Path:
    """nnU-Net's folder for this federation's preprocessed data at this site."""
    return home / "nnUNet_preprocessed" / str(recipe["plans"]["dataset_name"])


def is_ready(home: Path, cohort: FrozenCohort, recipe: Json) -> bool:
    """True if everything is preprocessed for this recipe and cohort."""
    marker = folder_of(home, recipe) / "konsil.json"
    return marker.is_file() and read_json(marker) == {**identity(cohort, recipe), "complete": True}


def require_ready(home: Path, cohort: FrozenCohort, recipe: Json) -> None:
    """Raise Missing unless `prepare` has run."""
    if not is_ready(home, cohort, recipe):
        raise Missing(f"the cohort {cohort.name} is not preprocessed for this recipe", hint="Run the step prepare")


def prepare(home: Path, cohort: FrozenCohort, data: Data, recipe: Json) -> None:
    """Write plans, split and preprocessed cases under `home`; continues where a killed run stopped."""
    if is_ready(home, cohort, recipe):
        return
    cases = dataset.cases_of(cohort, data)
    folder = folder_of(home, recipe)
    begin(folder, identity(cohort, recipe))
    describe(folder, cases, recipe, identity(cohort, recipe))
    raw = home / "nnUNet_raw" / folder.name / "dataset.json"
    write_json(raw, {**recipe["dataset"], "numTraining": len(cases), "dataset": dataset.listed(cases)})
    preprocess(folder, cases, recipe)
    write_json(folder / "konsil.json", {**identity(cohort, recipe), "complete": True})


def begin(folder: Path, made_from: Json) -> None:
    """Keep the folder if it was begun for the same recipe and cohort, else start anew."""
    marker = folder / "konsil.json"
    if marker.is_file() and read_json(marker) == {**made_from, "complete": False}:
        return
    shutil.rmtree(folder, ignore_errors=True)
    write_json(marker, {**made_from, "complete": False})


def describe(folder: Path, cases: list[LabelledCase], recipe: Json, made_from: Json) -> None:
    """Write the files nnU-Net reads beside the images: plans, dataset.json, fingerprint, splits_final.json."""
    train = [case.name for case in cases if case.split == "train"]
    validation = [case.name for case in cases if case.split == "validation"]
    if not train:
        raise BadInput("the cohort has no training case", expected="at least one labelled patient")
    konsil = {**recipe["plans"]["konsil"], "validates": bool(validation), "seed": site_seed(recipe, made_from)}
    write_json(folder / f"{PLANS}.json", {**recipe["plans"], "konsil": konsil})
    write_json(folder / "dataset.json", recipe["dataset"])
    write_json(folder / "dataset_fingerprint.json", recipe["fingerprint"])
    # nnU-Net starts its loaders with one validation batch, so without validation cases it gets a training case to read
    splits = [{"train": train, "val": validation or train}]
    write_bytes(folder / "splits_final.json", json.dumps(splits, indent=1).encode())


def site_seed(recipe: Json, made_from: Json) -> int:
    """The seed of this site's random numbers: from the recipe's and the cohort, so that sites do not draw alike."""
    return int(dataset.digest([recipe["plans"]["konsil"]["seed"], made_from["cohort"]])[:8], 16)


def preprocess(folder: Path, cases: list[LabelledCase], recipe: Json) -> None:
    """Preprocess every case that is not there yet."""
    plans: Any = PlansManager(recipe["plans"])
    configuration = plans.get_configuration(configuration_of(recipe))
    target = folder / configuration.data_identifier
    target.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".part-*"):
        shutil.rmtree(left)
    for number, case in enumerate(cases, start=1):
        if (target / f"{case.name}.pkl").is_file():
            continue
        log.info("preprocess: case %d of %d", number, len(cases))
        with tempfile.TemporaryDirectory(dir=folder, prefix=".part-") as part:
            run_case(Path(part) / case.name, case, plans, configuration, recipe["dataset"])
            for ending in PARTS:
                (Path(part) / f"{case.name}{ending}").replace(target / f"{case.name}{ending}")


def run_case(out: Path, case: LabelledCase, plans: Any, configuration: Any, description: Json) -> None:
    """Let nnU-Net's preprocessor write one case to `out` with its three endings."""
    try:
        DefaultPreprocessor(verbose=False).run_case_save(
            str(out), [str(path) for path in case.images], str(case.label), plans, configuration, description
        )
    except (AssertionError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise BadInput(f"{case.name} cannot be preprocessed", got=reason) from error
