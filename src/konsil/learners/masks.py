"""A trained model on a whole cohort: masks beside the images, a table of lesions, figures against drawn masks.

Masks are BIDS derivatives on the grid of their images, `…_space-FLAIR_label-L_desc-<model>_mask.nii.gz` for a model
with one label and `…_desc-<model>_dseg.nii.gz` for more; the sidecar names the model's and the images' hashes, and a
case whose sidecar still fits is not done again. A case that cannot be segmented is reported with its reason, and the
others go on. Research use only, not a medical device.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from konsil.cohort.cases import Case
from konsil.cohort.folder import CohortFolder
from konsil.cohort.frozen import FrozenCohort, read_frozen
from konsil.errors import BadInput, KonsilError, Missing
from konsil.evaluation.lesions import describe
from konsil.evaluation.metrics import CaseMetrics
from konsil.files import read_json, sha256_of, write_json
from konsil.learners.protocol import Segmenter, Split
from konsil.learners.registry import open_model
from konsil.provenance import generated_by
from konsil.types import Json, Outcome

log = logging.getLogger(__name__)
NOTE = "Research use only, not a medical device."


@dataclass(frozen=True)
class Application:
    """One model applied to one cohort. `name` is the model's in file names."""

    cohort: CohortFolder
    model: Segmenter
    name: str

    def mask(self, case: Case) -> Path:
        """Where the mask of a case lies."""
        foreground = [value for value in self.model.labels.values() if value]
        ending = f"label-L_desc-{self.name}_mask" if len(foreground) == 1 else f"desc-{self.name}_dseg"
        space = "space-FLAIR_" if "FLAIR" in self.model.channels else ""
        anat = self.cohort.derivatives / f"sub-{case.subject}" / f"ses-{case.session}" / "anat"
        return anat / f"{case}_{space}{ending}.nii.gz"

    def sidecar(self, case: Case) -> Path:
        """Where it is written what the mask was made from."""
        mask = self.mask(case)
        return mask.with_name(mask.name.replace(".nii.gz", ".json"))

    @property
    def table(self) -> Path:
        """Where the table of lesions lies."""
        return self.cohort.derivatives / f"desc-{self.name}_lesions.json"


def apply(cohort: CohortFolder, model: Path, cases: Sequence[str] | None = None) -> Outcome:
    """Segment every case of a prepared or adopted cohort (or only `cases`) with the model in the folder `model`.

    Writes masks with sidecars and the table of lesions into `derivatives/konsil`. Raises Missing if there is no case.
    """
    return draw(open_application(cohort, model), cases)


def open_application(cohort: CohortFolder, model: Path) -> Application:
    """The model in a folder, ready for a cohort."""
    return Application(cohort, open_model(model), file_name(model))


def draw(task: Application, cases: Sequence[str] | None = None) -> Outcome:
    """`apply` with a model that is open."""
    inputs = images_of(task.cohort, task.model.channels)
    chosen = sorted(inputs) if cases is None else [Case.parse(case) for case in cases]
    if not chosen:
        raise Missing(f"the cohort {task.cohort.name} has no case to segment", hint="Prepare or adopt a cohort first")
    done: dict[str, Json] = {}
    aside: dict[str, str] = {}
    for number, case in enumerate(chosen, start=1):
        log.info("predict: case %d of %d", number, len(chosen))
        try:
            done[str(case)] = segment(task, case, inputs.get(case, {}))
        except KonsilError as error:
            aside[str(case)] = error.sentence
    if done:
        write_table(task, done)
    return Outcome(tuple(done), aside)


def segment(task: Application, case: Case, images: Mapping[str, Path]) -> Json:
    """Write the mask of one case with its sidecar, unless both are there; return the lesions by label."""
    for channel in task.model.channels:
        if channel not in images or not images[channel].is_file():
            raise Missing(f"the prepared {channel} is not there", hint="Run the steps orient and register first")
    sources = {channel: sha256_of(images[channel]) for channel in task.model.channels}
    target = task.mask(case)
    sidecar = task.sidecar(case)
    made_from = {"model": task.model.sha256, "images": sources}
    if target.is_file() and sidecar.is_file() and (kept := read_json(sidecar)).get("MadeFrom") == made_from:
        return dict(kept["Lesions"])
    mask, properties = task.model.segment(images)
    task.model.write(target, mask, properties)
    lesions = describe(mask, task.model.labels, math.prod(float(mm) for mm in properties["spacing"]))
    kind = {"Type": "Lesion"} if "lesion" in task.model.labels else {}
    description = {**kind, "Manual": False, "Note": NOTE, "GeneratedBy": [generated_by("predict")]}
    write_json(sidecar, {**description, "MadeFrom": made_from, "Lesions": lesions})
    return lesions


def write_table(task: Application, done: Mapping[str, Json]) -> None:
    """Add these cases to the table of lesions: number, total and largest volume in ml, by label."""
    before = read_json(task.table)["cases"] if task.table.is_file() else {}
    model = {"name": task.name, "sha256": task.model.sha256}
    write_json(task.table, {"model": model, "unit": "ml", "cases": {**before, **done}, "note": NOTE})


def file_name(model: Path) -> str:
    """A model folder's name as a BIDS label: letters and digits only."""
    return re.sub(r"[^A-Za-z0-9]", "", model.resolve().name) or "model"


def images_of(cohort: CohortFolder, channels: Sequence[str]) -> dict[Case, dict[str, Path]]:
    """Images by case and channel: as adopted, or as `prepare_cohort` left them (FLAIR oriented, T1w registered)."""
    if cohort.frozen.is_file() and (frozen := read_frozen(cohort.frozen)).origin == "adopted":
        return {Case.parse(case.case): absolute(frozen, case.images) for case in frozen.cases}
    cases = cohort.cases()
    known = cohort.channels(cases[0]) if cases else {}
    unknown = [channel for channel in channels if cases and channel not in known]
    if unknown:
        raise BadInput(f"the cohort {cohort.name} has no channel {unknown[0]}", expected=", ".join(known))
    return {case: {channel: cohort.channels(case)[channel] for channel in channels} for case in cases}


def absolute(frozen: FrozenCohort, images: Mapping[str, str]) -> dict[str, Path]:
    """Images of a frozen case by absolute path."""
    return {channel: frozen.root / path for channel, path in images.items()}


def evaluate(frozen: FrozenCohort, model: Path, split: Split) -> tuple[list[CaseMetrics], dict[str, str]]:
    """Compare the model's masks with the drawn ones in one split: figures by case, and reasons for cases set aside."""
    segmenter = open_model(model)
    unlike = {name: value for name, value in segmenter.labels.items() if frozen.labels.get(name) != value}
    if unlike:
        raise BadInput(
            f"the model knows a label that the cohort {frozen.name} does not",
            expected=", ".join(frozen.labels),
            got=", ".join(unlike),
        )
    judged: list[CaseMetrics] = []
    aside: dict[str, str] = {}
    for case in frozen.split(split):
        log.info("evaluate: case %d of %d", len(judged) + len(aside) + 1, len(frozen.split(split)))
        try:
            judged.append(segmenter.judge(case.case, absolute(frozen, case.images), frozen.root / str(case.label)))
        except KonsilError as error:
            aside[case.case] = error.sentence
    return judged, aside
