"""Predicted lesions as DICOM segmentations that refer to the FLAIR they were drawn on.

`<home>/work/<cohort>/segmentations/<case>_<model>.dcm` beside the de-identified DICOM whose UIDs it names. A case
without lesions gets no file (PS3.3 A.51 wants a frame), and neither does one whose DICOM is not there; the sentence
that says so stands in the table and on the page.
"""

from __future__ import annotations

from pathlib import Path

from konsil.cohort.cases import Case
from konsil.cohort.folder import CohortFolder
from konsil.cohort.volume import Volume
from konsil.dicom.seg import read_series, write_seg
from konsil.errors import KonsilError

NO_LESION = "No lesion was found, so there is no segmentation."
NO_DICOM = "The cohort was not made from DICOM here, so there is no segmentation."
MANY_LABELS = "The model draws more than lesions, so there is no segmentation."


def segmentation(cohort: CohortFolder, case: Case, name: str) -> Path:
    """Where the segmentation of a case by the model `name` lies."""
    return cohort.work / "segmentations" / f"{case}_{name}.dcm"


def write_segmentation(
    cohort: CohortFolder, case: Case, mask: Volume, labels: dict[str, int], *, name: str, digest: str
) -> str:
    """Write the segmentation of a case, or remove an outdated one; "" if it is there, else why it is not.

    `mask` (I, J, K) lies on the oriented FLAIR's grid. `name` and `digest` (SHA-256 of the weights) name the model in
    the file. The same mask gives the same bytes.
    """
    path, source = segmentation(cohort, case, name), cohort.work / "dicom" / str(case) / "FLAIR"
    why = reason(mask, source, labels)
    if not why:
        try:
            algorithm = f"konsil {name} {digest[:12]}"
            write_seg(mask.data, mask.affine, read_series(source), path, algorithm=algorithm)
        except KonsilError as error:
            why = error.sentence
    if why:
        path.unlink(missing_ok=True)
    return why


def reason(mask: Volume, source: Path, labels: dict[str, int]) -> str:
    """Why there can be no segmentation; "" if there can."""
    if [name for name, value in labels.items() if value] != ["lesion"]:
        return MANY_LABELS
    if not source.is_dir():
        return NO_DICOM
    return "" if mask.data.any() else NO_LESION
