"""Brain masks: the atlas brain, laid on each image by an affine transform, its outline then moved to the patient's.

The mask serves measures, the brain-only channels and the registration. It is a hull: sulci at the surface are mostly in
it; do not use it for volumetry. T1w and FLAIR get theirs independently, because the step comes before their
registration and because two independent masks can disagree, which is what the measure "brain volume similarity" looks
at. Where the outline found by brightness strays from the atlas's (little signal, strong artifacts), the atlas's
stands. Figures: docs/quality.md.

A site with a GPU can have masks drawn by HD-BET instead (`konsil.quality.hd_bet`); the atlas is still laid, because
cropping and the tissues of the measures come from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import SimpleITK as sitk

from konsil.cohort.batch import each_case
from konsil.cohort.binning import every_nth
from konsil.cohort.cases import Case
from konsil.cohort.derivative import fingerprint, is_current, sidecar, stamp
from konsil.cohort.folder import SUFFIXES, CohortFolder
from konsil.cohort.volume import Volume, read_volume, write_volume
from konsil.errors import Missing
from konsil.files import read_json
from konsil.quality import hd_bet
from konsil.quality.atlas import Placement, brain, lay, place_atlas
from konsil.quality.boundary import follow, small
from konsil.settings import MaskMethod
from konsil.types import Outcome

STEP = "mask"
VERSION = 2  # of the drawing; another number means that masks are drawn again
CHECK_MM = 2.0  # between the voxels at which they are compared
LEAST_OVERLAP = 0.85  # Dice of both outlines; 0.94 to 0.97 where all is well


def mask(
    cohort: CohortFolder, cases: Sequence[str] | None = None, *, workers: int = 1, method: MaskMethod = "atlas"
) -> Outcome:
    """Write the brain masks of every case; what is done for the same image and method is skipped.

    Raises `Missing` before anything is done if `method` is "hd-bet" and HD-BET or its weights are not there.
    """
    if method == "hd-bet":
        hd_bet.require()
    return each_case(cohort, cases, STEP, partial(mask_case, method=method), workers=workers)


def mask_case(cohort: CohortFolder, case: Case, *, method: MaskMethod = "atlas") -> None:
    """Mask the oriented images that one case has. Raises `BadInput` if no brain is found."""
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    for suffix in SUFFIXES:
        if not cohort.raw(case, suffix).is_file():
            continue
        oriented, path = cohort.oriented(case, suffix), cohort.brain_mask(case, suffix)
        if not oriented.is_file():
            raise Missing(f"the oriented {suffix} is not there", hint="Run first: konsil orient COHORT")
        inputs = fingerprint({"oriented": oriented}, {"method": method, "version": VERSION})
        if is_current(path, inputs):
            continue
        image = read_volume(oriented, f"the oriented {suffix}")
        placement = place_atlas(image)
        write_volume(path, hd_bet.draw(image) if method == "hd-bet" else draw(image, placement))
        facts = {
            "Type": "Brain",
            "Method": method,
            "AtlasToImageRas": placement.matrix.tolist(),
            "mutual_information_nats": round(placement.information, 4),
        }
        stamp(path, STEP, {"oriented": oriented}, inputs, facts)


def draw(image: Volume, placement: Placement) -> Volume:
    """The brain mask on the grid of `image`: uint8, 1 = brain."""
    coarse = small(image)
    drawn = follow(coarse, lay(brain(), placement, coarse), image)
    if overlap(Volume(drawn, image.affine), placement) < LEAST_OVERLAP:
        drawn = lay(brain(), placement, image) > 0.5
    return Volume(drawn.view(np.uint8), image.affine)


def overlap(drawn: Volume, placement: Placement) -> float:
    """Dice of a drawn brain and the atlas's outline, 0 to 1; asked of voxels about CHECK_MM apart."""
    thin = every_nth(drawn, np.maximum(1, np.rint(CHECK_MM / drawn.spacing_mm)).astype(int))
    outline = lay(brain(), placement, thin) > 0.5
    return float(2 * (outline & thin.data).sum() / max(1, outline.sum() + thin.data.sum()))


def read_placement(cohort: CohortFolder, case: Case, suffix: str) -> Placement:
    """Where the atlas was laid when the mask was drawn. Raises `Missing` if the step has not run."""
    path = sidecar(cohort.brain_mask(case, suffix))
    if not path.is_file():
        raise Missing(f"the brain mask of {suffix} is not there", hint="Run first: konsil mask COHORT")
    found = read_json(path)
    return Placement(np.array(found["AtlasToImageRas"]), found["mutual_information_nats"])
