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
from konsil.learners.nnunet import dataset, room
from konsil.learners.nnunet.dataset import LabelledCase
from konsil.learners.nnunet.recipe import PLANS, configuration_of
from konsil.learners.nnunet.settings import Data
from konsil.learners.nnunet.traces import changed, looks
from konsil.types import Json

log = logging.getLogger(__name__)
PARTS = (".b2nd", "_seg.b2nd", ".pkl")  # the last one says that the case is whole
MARKER = "konsil.json"
PROBE_BYTES = 1 << 22


def identity(cohort: FrozenCohort, recipe: Json) -> Json:
    """What preprocessed data were made from: the recipe and the cohort's content."""
    return {"recipe": recipe["sha256"], "cohort": dataset.digest(cohort.content())}


def folder_of(home: Path, recipe: Json) -> Path:
    """nnU-Net's folder for this federation's preprocessed data at this site."""
    return home / "nnUNet_preprocessed" / str(recipe["plans"]["dataset_name"])


def edition(home: Path, cohort: FrozenCohort, recipe: Json) -> Json:
    """What the preprocessed data that lie here now are; another one after they were made anew."""
    return {**identity(cohort, recipe), "files": dataset.digest(marker_of(folder_of(home, recipe)).get("files"))}


def marker_of(folder: Path) -> Json:
    """What `prepare` noted about a folder; empty if it was never there."""
    marker = folder / MARKER
    return read_json(marker) if marker.is_file() else {}


def is_complete(folder: Path, made_from: Json) -> bool:
    """True if everything was preprocessed from this; whether it still is so, `changed` tells."""
    marker = marker_of(folder)
    return "files" in marker and {**marker, "files": {}} == {**made_from, "complete": True, "files": {}}


def is_ready(home: Path, cohort: FrozenCohort, recipe: Json) -> bool:
    """True if everything is preprocessed for this recipe and cohort, and as it was made."""
    folder = folder_of(home, recipe)
    return is_complete(folder, identity(cohort, recipe)) and not changed(folder, marker_of(folder)["files"])


def require_ready(home: Path, cohort: FrozenCohort, recipe: Json) -> None:
    """Raise Missing unless `prepare` has run and what it made is still there."""
    folder = folder_of(home, recipe)
    if not is_complete(folder, identity(cohort, recipe)):
        raise Missing(f"the cohort {cohort.name} is not preprocessed for this recipe", hint="Run the step prepare")
    if odd := changed(folder, marker_of(folder)["files"]):
        raise Missing(
            f"{len(odd)} preprocessed files of the cohort {cohort.name} were changed since they were made",
            hint="Run the step prepare, which makes them anew",
        )


def prepare(home: Path, cohort: FrozenCohort, data: Data, recipe: Json) -> None:
    """Write plans, split and preprocessed cases under `home`; continues where a killed run stopped."""
    folder = folder_of(home, recipe)
    if is_complete(folder, identity(cohort, recipe)):
        odd = changed(folder, marker_of(folder)["files"])
        if not odd:
            return
        discard(folder, odd, identity(cohort, recipe))
    cases = dataset.cases_of(cohort, data)
    begin(folder, identity(cohort, recipe))
    describe(folder, cases, recipe, identity(cohort, recipe))
    raw = home / "nnUNet_raw" / folder.name / "dataset.json"
    write_json(raw, {**recipe["dataset"], "numTraining": len(cases), "dataset": dataset.listed(cases)})
    preprocess(folder, cases, recipe)
    write_json(folder / MARKER, {**identity(cohort, recipe), "complete": True, "files": looks(folder)})


def begin(folder: Path, made_from: Json) -> None:
    """Keep the folder if it was begun for the same recipe and cohort, else start anew."""
    if marker_of(folder) == {**made_from, "complete": False}:
        return
    shutil.rmtree(folder, ignore_errors=True)
    write_json(folder / MARKER, {**made_from, "complete": False})


def discard(folder: Path, odd: list[str], made_from: Json) -> None:
    """Forget the cases to which changed files belong, so that they are made anew."""
    log.warning("%d preprocessed files were changed since they were made; their cases are preprocessed anew", len(odd))
    write_json(folder / MARKER, {**made_from, "complete": False})
    for name in odd:
        path = folder / name
        if path.parent != folder:
            stem = path.name.split(".")[0].removesuffix("_seg")
            (path.parent / f"{stem}.pkl").unlink(missing_ok=True)


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
        room.check(case, configuration.spacing)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".part-") as part, room.for_case(case):
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
        if room.is_of_memory(error):
            raise  # its sentence is said where the case is known (room.for_case)
        try_disk(out.parent)
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise BadInput(f"{case.name} cannot be preprocessed", got=reason) from error


def try_disk(folder: Path) -> None:
    """Write as much as a small case and remove it: a full disk says so itself, where libraries say something else."""
    with tempfile.TemporaryFile(dir=folder) as stream:
        stream.write(bytes(PROBE_BYTES))
        stream.flush()
