"""T1w onto FLAIR: find the movement, check that it is believable, resample the T1w once.

Lesions are drawn on FLAIR, so FLAIR stays as it is and T1w comes to it. The T1w is interpolated a single time, from the
raw voxels to the grid of the oriented FLAIR. A registration that is not believable is worse than none: it would teach a
network that lesions lie elsewhere. So the case is set aside, with what was measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from konsil.cohort.batch import each_case
from konsil.cohort.box import box_of, carried, part
from konsil.cohort.cases import Case
from konsil.cohort.derivative import fingerprint, is_current, sidecar, stamp
from konsil.cohort.folder import SUFFIXES, CohortFolder
from konsil.cohort.grid import read_on, rigid_transform
from konsil.cohort.growth import grown
from konsil.cohort.volume import Volume, read_mask, read_volume, write_volume
from konsil.errors import BadInput, Missing
from konsil.files import read_json, replacing
from konsil.registration.motion import Matrix
from konsil.registration.rigid import Movement, find_rigid
from konsil.types import Json, Outcome

STEP = "register"
VERSION = 2  # of the search; another number means that cases are registered again

LARGEST_ROTATION_DEG = 30.0  # a head in a coil cannot turn further between two series of one session
LARGEST_TRANSLATION_MM = 60.0
SMALLEST_OVERLAP = 0.80  # Dice of the two brain masks; right registrations reach 0.9 and more
LEAST_SAME_PERSON = 0.08  # two people reach 0.05; one person 0.25 and more. In between the reviewer decides
MARGIN_MM = 3.0  # around the brain mask in the brain-only images
WORSE_BY = 0.01  # nats: below this a difference in mutual information is sampling


def register(cohort: CohortFolder, cases: Sequence[str] | None = None, *, workers: int = 1) -> Outcome:
    """Write transform, registered T1w and brain-only images with their sidecars for every case.

    What is done for the same input is skipped.
    """
    return each_case(cohort, cases, STEP, register_case, workers=workers)


def register_case(cohort: CohortFolder, case: Case) -> None:
    """Register one case. Raises `Missing` if a step has to come first, `BadInput` if the result is not believable."""
    sources = sources_of(cohort, case)
    inputs = fingerprint(sources, {"version": VERSION})
    made = [cohort.registered(case), *(cohort.brain(case, suffix) for suffix in SUFFIXES)]
    if all(is_current(path, inputs) for path in made) and cohort.transform(case).is_file():
        return
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    flair, t1w = (read_volume(cohort.oriented(case, suffix), f"the oriented {suffix}") for suffix in ("FLAIR", "T1w"))
    brains = {
        suffix: read_mask(cohort.brain_mask(case, suffix), f"the brain mask of {suffix}").data for suffix in SUFFIXES
    }
    movement = find_rigid(flair, t1w, brains["FLAIR"], brains["T1w"], start=by_atlas(cohort, case))
    transform = rigid_transform(movement.matrix)
    facts = describe(movement, overlap(brains["FLAIR"], laid(brains["T1w"], t1w, flair, movement.matrix)))
    believe(facts)
    with replacing(cohort.transform(case)) as part:
        sitk.WriteTransform(transform, str(part))
    stamp(cohort.transform(case), STEP, sources, inputs, facts)
    raw = read_volume(cohort.raw(case, "T1w"), "the raw T1w")
    registered = onto(raw, flair, movement.matrix)
    margin = grown(brains["FLAIR"], flair.spacing_mm, MARGIN_MM)
    write_volume(cohort.registered(case), registered)
    for suffix, image in (("T1w", registered), ("FLAIR", flair)):
        write_volume(cohort.brain(case, suffix), Volume(np.where(margin, image.data, 0), flair.affine))
    for path in made:
        stamp(path, STEP, sources, inputs, facts)


def sources_of(cohort: CohortFolder, case: Case) -> dict[str, Any]:
    """The files a registration is made from. Raises `Missing` with the step that makes an absent one."""
    for suffix in SUFFIXES:
        if not cohort.raw(case, suffix).is_file():
            raise Missing(f"the case has no {suffix}", expected="both T1w and FLAIR of the same session")
    for suffix in SUFFIXES:
        for path, verb in ((cohort.oriented(case, suffix), "orient"), (cohort.brain_mask(case, suffix), "mask")):
            if not path.is_file():
                raise Missing(f"{path.name} is not there", hint=f"Run first: konsil {verb} COHORT")
    return {
        "raw_T1w": cohort.raw(case, "T1w"),
        "oriented_FLAIR": cohort.oriented(case, "FLAIR"),
        "mask_T1w": cohort.brain_mask(case, "T1w"),
        "mask_FLAIR": cohort.brain_mask(case, "FLAIR"),
    }


def by_atlas(cohort: CohortFolder, case: Case) -> Matrix | None:
    """The movement (FLAIR to T1w, RAS mm) that lays the atlas of one mask on that of the other; None if unknown.

    Both placements have 12 degrees of freedom; the nearest rotation is taken (Schonemann 1966, by SVD), about the
    middle of the atlas.
    """
    notes = [sidecar(cohort.brain_mask(case, suffix)) for suffix in SUFFIXES]
    placed = [read_json(path).get("AtlasToImageRas") for path in notes if path.is_file()]
    if len(placed) < len(SUFFIXES) or not all(placed):
        return None
    on_t1w, on_flair = (np.array(matrix, dtype=np.float64) for matrix in placed)
    both = on_t1w @ np.linalg.inv(on_flair)
    left, _, right = np.linalg.svd(both[:3, :3])
    start = np.eye(4)
    start[:3, :3] = left @ np.diag([1, 1, np.linalg.det(left @ right)]) @ right
    middle = on_flair[:3, 3]
    start[:3, 3] = on_t1w[:3, 3] - start[:3, :3] @ middle
    return start


def laid(brain: npt.NDArray[np.bool_], image: Volume, grid: Volume, to_image: Matrix) -> npt.NDArray[np.bool_]:
    """The brain mask of `image` on the voxels of `grid`, nearest neighbour; `to_image` maps grid to image points."""
    found = np.zeros(grid.data.shape, np.bool_, order="F")
    box = box_of(brain)
    to_index = np.linalg.inv(grid.affine) @ np.linalg.inv(to_image) @ image.affine
    there = carried(box, to_index, found.shape)
    mask = part(Volume(brain, image.affine), box)
    found[there] = read_on(part(grid, there), mask, to_image, sitk.sitkNearestNeighbor) > 0
    return found


def onto(raw: Volume, grid: Volume, to_raw: Matrix) -> Volume:
    """The final interpolation: cubic B-spline, held within the range of the raw image, in the raw image's dtype."""
    values = read_on(grid, raw, to_raw, sitk.sitkBSpline, outside=np.nan)
    outside = np.isnan(values)
    np.clip(values, raw.data.min(), raw.data.max(), out=values)
    values[outside] = 0
    data = np.rint(values, out=values).astype(np.int16) if raw.data.dtype == np.int16 else values
    return Volume(data, grid.affine)


def overlap(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float:
    """Dice overlap of two masks on one grid, 0 to 1."""
    return float(2 * (a & b).sum() / max(1, a.sum() + b.sum()))


def describe(movement: Movement, dice: float) -> Json:
    """The facts for the sidecar, units in the names."""
    return {
        "rotation_deg": round(movement.rotation_deg, 3),
        "translation_mm": round(movement.translation_mm, 3),
        "mutual_information_before_nats": round(movement.information_before, 4),
        "mutual_information_after_nats": round(movement.information_after, 4),
        "brain_overlap_dice": round(dice, 4),
        "same_person_score": round(movement.agreement.same_person_score, 4),
        "residual_mm": round(movement.agreement.residual_mm, 3),
    }


def believe(facts: Json) -> None:
    """Raise `BadInput` with everything that speaks against a registration."""
    against = []
    if facts["rotation_deg"] > LARGEST_ROTATION_DEG:
        against.append(f"a turn of {facts['rotation_deg']:.0f} degrees (at most {LARGEST_ROTATION_DEG:.0f})")
    if facts["translation_mm"] > LARGEST_TRANSLATION_MM:
        against.append(f"a shift of {facts['translation_mm']:.0f} mm (at most {LARGEST_TRANSLATION_MM:.0f})")
    if facts["brain_overlap_dice"] < SMALLEST_OVERLAP:
        against.append(f"the brains overlap by {facts['brain_overlap_dice']:.2f} (at least {SMALLEST_OVERLAP:.2f})")
    loss = facts["mutual_information_before_nats"] - facts["mutual_information_after_nats"]
    if loss > WORSE_BY:
        against.append("the images agree less after it than before")
    if facts["same_person_score"] < LEAST_SAME_PERSON:
        against.append(
            f"folds that do not match (score {facts['same_person_score']:.2f}, at least {LEAST_SAME_PERSON})"
        )
    if against:
        raise BadInput(
            "the registration of T1w to FLAIR is not believable",
            got="; ".join(against),
            hint="Look at both images: one may be cropped, badly moved or of another patient",
        )
