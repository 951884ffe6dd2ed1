"""`konsil predict`: masks, then each case's lesions and segmentation, and for the cohort one table and one page.

What was found in a case is kept in the sidecar of its mask, under "Found", so that a second run reads instead of
measuring; a mask that is drawn anew loses it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from konsil.cohort.cases import Case
from konsil.cohort.folder import CohortFolder
from konsil.cohort.nifti import DAMAGED, open_nifti
from konsil.cohort.volume import Volume, read_volume
from konsil.errors import BadInput, KonsilError
from konsil.files import read_json, write_json
from konsil.learners.masks import Application, draw, open_application
from konsil.learners.registry import card_of
from konsil.prediction.archive import segmentation, write_segmentation
from konsil.prediction.location import Head, Lesion, find_lesions
from konsil.prediction.page import write_page
from konsil.prediction.table import write_tables
from konsil.quality.masks import read_placement
from konsil.types import Outcome

log = logging.getLogger(__name__)
NO_ATLAS = "Locations are not told: the FLAIR has no brain mask (konsil mask COHORT)."
VERSION = 2  # of what is found; another number means that cases are looked at again


@dataclass(frozen=True)
class Finding:
    """What a model found in one case. `seg` says why there is no segmentation, `remark` what else has to be said."""

    case: Case
    lesions: tuple[Lesion, ...]
    seg: str
    remark: str


def predict(cohort: CohortFolder, model: Path, cases: Sequence[str] | None = None) -> Outcome:
    """Draw the masks of every case (or only `cases`); then write segmentations, the tables and the page of the cohort.

    The tables and the page tell of every case for which this model has a mask. Raises as `konsil.learners.masks.draw`.
    """
    task = open_application(cohort, model)
    outcome = draw(task, cases)
    findings = [look_at(task, case) for case in drawn_by(task)]
    if findings:
        write_tables(task, findings)
        path = write_page(task, findings, outcome.set_aside, card_of(model))
        log.info("%d cases told of in %s", len(findings), path.name)
    return outcome


def drawn_by(task: Application) -> list[Case]:
    """The cases for which the model has a mask, sorted."""
    ending = task.mask(Case("X", "X")).name.removeprefix(str(Case("X", "X")))
    found = task.cohort.derivatives.glob(f"sub-*/ses-*/anat/sub-*{ending}")
    return sorted(Case.parse(path.name.removesuffix(ending)) for path in found)


def look_at(task: Application, case: Case) -> Finding:
    """The lesions of a case, as they were kept or found now; its segmentation is written where it lacks."""
    kept = read_json(task.sidecar(case))
    path = segmentation(task.cohort, case, task.name)
    before = kept.get("Found", {})
    if before.get("version") == VERSION and (before["seg"] or path.is_file()):
        lesions = tuple(Lesion(**{**one, "centre_mm": tuple(one["centre_mm"])}) for one in before["lesions"])
        return Finding(case, lesions, before["seg"], before["remark"])
    found = find(task, case)
    content = {"lesions": [asdict(one) for one in found.lesions], "seg": found.seg, "remark": found.remark}
    write_json(task.sidecar(case), {**kept, "Found": {"version": VERSION, **content}})
    return found


def find(task: Application, case: Case) -> Finding:
    """Measure the lesions of a mask and write its segmentation."""
    mask = read_label_map(task.mask(case))
    head, remark = None, ""
    if "lesion" in task.model.labels and mask.data.any():
        try:
            head = head_of(task.cohort, case)
        except KonsilError:
            remark = NO_ATLAS
    lesions = find_lesions(mask, task.model.labels, head)
    seg = write_segmentation(task.cohort, case, mask, task.model.labels, name=task.name, digest=task.model.sha256)
    return Finding(case, tuple(lesions), seg, remark)


def head_of(cohort: CohortFolder, case: Case) -> Head:
    """The FLAIR of a prepared case with brain, atlas and, if there is one, T1w; `Missing` where a step has not run."""
    placement = read_placement(cohort, case, "FLAIR")
    brain = read_volume(cohort.brain_mask(case, "FLAIR"), "the brain mask of the FLAIR")
    flair = read_volume(cohort.oriented(case, "FLAIR"), "the oriented FLAIR")
    path = cohort.registered(case)
    t1w = read_volume(path, "the registered T1w") if path.is_file() else None
    return Head(flair, Volume(brain.data > 0, brain.affine), placement, t1w)


def read_label_map(path: Path) -> Volume:
    """A predicted mask as it was written, which may hold nothing but background; `BadInput` if it cannot be read."""
    try:
        image = open_nifti(path)
        return Volume(np.asarray(image.dataobj, dtype=np.uint8), np.asarray(image.affine, dtype=np.float64))
    except DAMAGED as error:
        raise BadInput("a predicted mask cannot be read", got=type(error).__name__, hint="Predict again") from error
