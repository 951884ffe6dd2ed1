"""Taking all measures of one case: images, masks and the registration's facts in, numbers with their keys out.

A measure of an image has the key `<image>_<name>`, all others their name alone. What a case has no image for is left
out; what could not be measured, or whose step has not run yet, is None with a note.
"""

from __future__ import annotations

import numpy as np

from konsil.cohort.cases import Case
from konsil.cohort.derivative import sidecar
from konsil.cohort.folder import SUFFIXES, CohortFolder
from konsil.cohort.volume import Volume, read_mask, read_volume
from konsil.files import read_json
from konsil.quality.artifact_score import score_image
from konsil.quality.coverage import volume_similarity
from konsil.quality.image_measures import measure_image
from konsil.quality.lesions import count_lesions, grid_offset_mm, lesion_ml, outside_percent, read_lesions
from konsil.quality.masks import read_placement
from konsil.quality.measured import Measured, absent, taken
from konsil.types import Json

SAME_GRID_MM = 0.1  # grids whose corners lie closer are the same; headers round
LESION_NAMES = ("lesion_grid_offset_mm", "lesion_outside_percent", "lesion_ml", "lesion_count")
# Key of a measure -> name of the fact that `konsil register` wrote beside the registered T1w.
REGISTRATION = {
    "same_person_score": "same_person_score",
    "registration_residual_mm": "residual_mm",
    "brain_overlap_dice": "brain_overlap_dice",
    "mutual_information": "mutual_information_after_nats",
    "head_rotation_deg": "rotation_deg",
    "head_translation_mm": "translation_mm",
}

Found = dict[str, Measured]


def measure_case(cohort: CohortFolder, case: Case, wanted_mm: float) -> Found:
    """All measures of the images a case has, by key."""
    found: Found = {}
    for suffix in SUFFIXES:
        if cohort.raw(case, suffix).is_file():
            image = in_rows(read_volume(cohort.oriented(case, suffix), f"the oriented {suffix}"))
            mask = in_rows(read_mask(cohort.brain_mask(case, suffix), f"the brain mask of {suffix}")).data
            placement = read_placement(cohort, case, suffix)
            values = measure_image(image, mask, placement, wanted_mm, suffix)
            score = score_image(image, placement, suffix)
            values["artifact_probability"] = taken(score, "too few of the features it reads could be measured")
            found |= {f"{suffix.lower()}_{name}": measured for name, measured in values.items()}
    if all(cohort.raw(case, suffix).is_file() for suffix in SUFFIXES):
        volumes = [found[f"{suffix.lower()}_brain_ml"].value or 0.0 for suffix in SUFFIXES]
        found["brain_volume_similarity"] = taken(volume_similarity(*volumes), "both brain masks are empty")
        facts = sidecar(cohort.registered(case))
        found |= measure_registration(read_json(facts) if facts.is_file() else None)
    if cohort.raw(case, "FLAIR").is_file():
        found |= measure_lesions(cohort, case)
    return found


def in_rows(volume: Volume) -> Volume:
    """The same image with its last axis contiguous in memory; NIfTI has the first, and numpy is slow to select so."""
    return Volume(np.ascontiguousarray(volume.data), volume.affine)


def measure_registration(facts: Json | None) -> Found:
    """What the registration left unexplained, from the facts beside the registered T1w; None before `register`."""
    if facts is None:
        return absent(REGISTRATION, "the T1w is not registered to the FLAIR yet (konsil register)")
    return {key: taken(facts.get(fact), "the registration did not note it") for key, fact in REGISTRATION.items()}


def measure_lesions(cohort: CohortFolder, case: Case) -> Found:
    """Whether the drawn lesions fit the FLAIR, and how much they are."""
    lesions = read_lesions(cohort.lesions(case)) if cohort.lesions(case).is_file() else None
    if lesions is None:
        return absent(LESION_NAMES, "no lesions were drawn")
    mask = read_mask(cohort.brain_mask(case, "FLAIR"), "the brain mask of FLAIR")
    offset = grid_offset_mm(lesions, mask)
    found = {"lesion_grid_offset_mm": Measured(offset), **count(lesions)}
    if offset > SAME_GRID_MM or lesions.data.shape != mask.data.shape:
        return found | absent(("lesion_outside_percent",), "the drawing lies on another grid than the FLAIR")
    outside = outside_percent(lesions.data, mask.data)
    return found | {"lesion_outside_percent": taken(outside, "nothing is drawn in the lesion mask")}


def count(lesions: Volume) -> Found:
    """Volume and number of lesions."""
    return {
        "lesion_ml": Measured(lesion_ml(lesions.data, lesions.voxel_ml)),
        "lesion_count": Measured(float(count_lesions(lesions.data, lesions.voxel_ml))),
    }
