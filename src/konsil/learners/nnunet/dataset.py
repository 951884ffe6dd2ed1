"""A frozen cohort as nnU-Net sees it: one data set with a name, a `dataset.json` and cases by file.

Nothing is copied: nnU-Net takes the paths from the entry "dataset" of a local `dataset.json`. Only training and
validation cases are ever listed; nnU-Net does not learn that test cases exist. Arrays are (z, y, x), as SimpleITK gives
them, and spacings likewise in mm.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from konsil.cohort.frozen import FrozenCase, FrozenCohort
from konsil.errors import BadInput
from konsil.learners.nnunet.settings import Data
from konsil.types import Json

SHOWN_TO_NNUNET = ("train", "validation")
READER = "SimpleITKIO"
FILE_ENDING = ".nii.gz"


@dataclass(frozen=True)
class LabelledCase:
    """One case by absolute paths: images in the charter's channel order, and the label map."""

    name: str
    split: str
    images: tuple[Path, ...]
    label: Path


def dataset_name(run: str) -> str:
    """nnU-Net's name for the data of one federation: `Dataset5xx_<run>`, the same at every site."""
    number = 500 + int(hashlib.sha256(run.encode()).hexdigest(), 16) % 500
    return f"Dataset{number}_{re.sub(r'[^A-Za-z0-9-]', '-', run)}"


def dataset_json(data: Data, cases: int) -> Json:
    """nnU-Net's description of channels and labels, without any path; `cases` is the federation's total."""
    return {
        "name": data.name,
        "channel_names": {str(index): name for index, name in enumerate(data.channels)},
        "labels": {"background": 0, **data.foreground},
        "numTraining": cases,
        "file_ending": FILE_ENDING,
        "overwrite_image_reader_writer": READER,
    }


def listed(cases: list[LabelledCase]) -> Json:
    """The entry "dataset" of a local dataset.json: which files make a case. Never leaves the site."""
    return {case.name: {"images": [str(path) for path in case.images], "label": str(case.label)} for case in cases}


def cases_of(cohort: FrozenCohort, data: Data, splits: tuple[str, ...] = SHOWN_TO_NNUNET) -> list[LabelledCase]:
    """The labelled cases of these splits. Raises BadInput if the cohort is not what the charter asks for."""
    check_fit(cohort, data)
    return [labelled(cohort, case, data) for split in splits for case in cohort.split(split)]


def labelled(cohort: FrozenCohort, case: FrozenCase, data: Data) -> LabelledCase:
    """One case by absolute paths."""
    if case.label is None:
        raise BadInput(f"{case.case} has no label", expected="a label for every case that trains or is evaluated")
    root = cohort.root.resolve()
    images = tuple(root / case.images[channel] for channel in data.channels)
    return LabelledCase(case.case, case.split, images, root / case.label)


def check_fit(cohort: FrozenCohort, data: Data) -> None:
    """Raise BadInput unless the cohort has the charter's channels and exactly its labels."""
    absent = [channel for channel in data.channels if channel not in cohort.channels]
    if absent:
        raise BadInput(
            f"the cohort {cohort.name} lacks a channel of the charter",
            expected=", ".join(data.channels),
            got=", ".join(cohort.channels),
        )
    wanted = {"background": 0, **data.foreground}
    if dict(cohort.labels) != wanted:
        raise BadInput(
            f"the labels of the cohort {cohort.name} are not those of the charter",
            expected=", ".join(f"{name} = {value}" for name, value in wanted.items()),
            got=", ".join(f"{name} = {value}" for name, value in cohort.labels.items()),
        )


def digest(content: Any) -> str:
    """SHA-256 of JSON content in one canonical form: sorted keys, no spaces, no NaN."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
