"""The third step: from de-identified series to raw BIDS, and lesions to a mask on the FLAIR.

The geometry of each series is checked before the converter sees it (`geometry`), and the converter's result against it
(`converter`). Raw images keep the scanner's voxels. The lesion mask, drawn as DICOM SEG or as NIfTI, is carried over
voxel by voxel onto the oriented FLAIR grid (closest canonical, RAS+), never interpolated.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from konsil.cohort import bids
from konsil.cohort.bids_sidecar import derived_facts, uri
from konsil.cohort.cases import Case
from konsil.cohort.folder import CohortFolder, SiteFolder
from konsil.cohort.nifti import open_nifti, write_nifti
from konsil.dicom.contrast import FLAIR, SEG, T1W
from konsil.dicom.converter import converted
from konsil.dicom.deidentify import SOURCES
from konsil.dicom.geometry import HEAD, Grid, Limits, Repeated, frames_of, grid_of
from konsil.dicom.masks import voxels, write_mask
from konsil.dicom.memory import Memory
from konsil.dicom.numbering import VARIES, doubts_about_count, explained
from konsil.dicom.physics import words
from konsil.dicom.proposed import each_proposed
from konsil.dicom.reading import BROKEN, read_dicom
from konsil.dicom.scan import MASK, read_scan
from konsil.errors import BadInput, Missing
from konsil.files import read_json, sha256_of, sweep, write_json
from konsil.provenance import generated_by, versions
from konsil.types import Json, Outcome

STEP = "convert"
SIDECAR_KEYS = """
Modality MagneticFieldStrength ImagingFrequency Manufacturer ManufacturersModelName BodyPartExamined PatientPosition
MRAcquisitionType ScanningSequence SequenceVariant ScanOptions ImageType SliceThickness SpacingBetweenSlices EchoTime
RepetitionTime InversionTime FlipAngle EchoTrainLength NumberOfAverages PercentPhaseFOV PercentSampling PixelBandwidth
InPlanePhaseEncodingDirectionDICOM ImageOrientationPatientDICOM ConversionSoftware ConversionSoftwareVersion
"""
"""What of dcm2niix's sidecar is kept: physics, no dates, no names."""

PLACE = """
ImageType NumberOfFrames Rows Columns ImagePositionPatient ImageOrientationPatient PixelSpacing SpacingBetweenSlices
SliceThickness SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence ImagesInAcquisition InstanceNumber
"""
READ = frozenset(PLACE.split()) | {keyword for names in VARIES for keyword in names}
"""What of the headers is read: the place of the slices, their number, and what tells volumes apart."""


def convert(
    site: SiteFolder,
    cohort: str,
    cases: Sequence[str] | None = None,
    dicom: Path | None = None,
    limits: Limits = HEAD,
    workers: int = 1,
) -> Outcome:
    """Convert T1w and FLAIR of each de-identified case to raw BIDS, and its lesions to a mask on the oriented FLAIR.

    `dicom` is the folder of de-identified cases (None = `work/<cohort>/dicom`). A series that was converted before,
    from the same source, is skipped. A case whose series is not one volume of a head is set aside with the reason.
    """
    folder = site.cohort(cohort)
    source = dicom or folder.work / "dicom"
    found = read_scan(folder)
    work = partial(convert_case, dicom=source, limits=limits)
    outcome = each_proposed(folder, found, cases, STEP, work, workers=workers)
    sweep(folder.work, folders=True)
    bids.describe(folder)
    return outcome


def convert_case(folder: CohortFolder, case: Case, *, dicom: Path, limits: Limits) -> None:
    """Convert one case, whole or not at all; each sidecar is written last and says what its image came from."""
    source = dicom / str(case)
    sources = read_sources(source)
    try:
        for role in (T1W, FLAIR):
            if not is_done(folder.raw(case, role), sources[role]):
                convert_series(folder, case, source / role, sources[role], limits)
        drawing = next((role for role in (SEG, MASK) if role in sources), None)
        if drawing is None:
            folder.lesions(case).unlink(missing_ok=True)
        elif not is_done(folder.lesions(case), f"{sources[FLAIR]} {sources[drawing]}"):
            place_lesions(folder, case, source / drawing, f"{sources[FLAIR]} {sources[drawing]}")
    except Exception:
        withdraw(folder, case)
        raise


def read_sources(source: Path) -> dict[str, str]:
    """What the de-identified series of a case were copied from, by role; raises `Missing` if they are not there."""
    hint = "Run: konsil deidentify IN OUT"
    if not (source / SOURCES).is_file():
        raise Missing("this case has no de-identified series", hint=hint)
    sources = read_json(source / SOURCES)
    if not {T1W, FLAIR} <= sources.keys() or not all(isinstance(value, str) for value in sources.values()):
        raise BadInput(f"{SOURCES} of this case was changed", expected="one hash for each series", hint=f"{hint} again")
    return sources


def withdraw(folder: CohortFolder, case: Case) -> None:
    """Take the raw images of a refused case out of the cohort: a T1w alone is no case."""
    for image in (folder.raw(case, role) for role in (T1W, FLAIR)):
        image.unlink(missing_ok=True)
        sidecar_of(image).unlink(missing_ok=True)
    anat = folder.raw(case, T1W).parent
    for emptied in (anat, anat.parent, anat.parent.parent):
        with suppress(OSError):  # another session of the same patient is in it
            emptied.rmdir()


def sidecar_of(image: Path) -> Path:
    """The JSON beside an image."""
    return image.with_name(image.name.replace(".nii.gz", ".json"))


def is_done(image: Path, source_sha256: str) -> bool:
    """The image is there, whole, and was made from this source."""
    sidecar = sidecar_of(image)
    if not image.is_file() or not sidecar.is_file():
        return False
    try:
        noted = dict(read_json(sidecar).get("Konsil", {}))
    except (BadInput, TypeError, ValueError):
        return False
    return (noted.get("SourceSha256"), noted.get("Sha256")) == (source_sha256, sha256_of(image))


def convert_series(folder: CohortFolder, case: Case, series: Path, source_sha256: str, limits: Limits) -> None:
    """Check the geometry of one series, convert it and put image and sidecar in their place."""
    role, target = series.name, folder.raw(case, series.name)
    headers = headers_of(series, role)
    grid = checked_grid(headers, role, limits)
    with converted(series, grid, role, folder.work) as volume:
        write_nifti(target, volume.image.read_bytes())
        kept = {key: volume.sidecar[key] for key in SIDECAR_KEYS.split() if key in volume.sidecar}
        notes: Json = {"SourceSha256": source_sha256, "Warnings": [*doubts_about_count(headers), *volume.warnings]}
    finish(target, kept, notes, "converted from de-identified DICOM with dcm2niix")


def finish(image: Path, facts: Json, notes: Json, step: str) -> None:
    """Write the sidecar of an image that is in its place."""
    notes = {**notes, "Sha256": sha256_of(image), "Software": versions()}
    write_json(sidecar_of(image), {**facts, "GeneratedBy": [generated_by(step)], "Konsil": notes})


def headers_of(series: Path, role: str) -> list[Dataset]:
    """The headers of a folder of DICOM files; raises `BadInput` that begins with the role."""
    memory = Memory()
    try:
        return [read_dicom(file, READ, memory=memory) for file in sorted(series.glob("*.dcm"))]
    except (*BROKEN, InvalidDicomError) as error:
        raise BadInput(f"{role}: its headers cannot be read", got=type(error).__name__) from error


def checked_grid(headers: Sequence[Dataset], role: str, limits: Limits) -> Grid:
    """The grid of a series by its headers; raises `BadInput` that begins with the role if it is no volume of a head."""
    try:
        check_single_slices(headers)
        return grid_of(frames_of(headers), limits)
    except BadInput as error:
        refusal = explained(error, headers) if isinstance(error, Repeated) else error
        what = f"{role}: {refusal.what}"
        raise BadInput(what, expected=refusal.expected, got=refusal.got, hint=refusal.hint) from error
    except BROKEN as error:
        raise BadInput(f"{role}: its headers cannot be read", got=type(error).__name__) from error


def check_single_slices(headers: Sequence[Dataset]) -> None:
    """Refuse mosaics: only private attributes, which are gone by now, tell where their slices lie."""
    if any("MOSAIC" in words(header, "ImageType") for header in headers):
        raise BadInput("its images are mosaics", expected="one slice in each", hint="Export the single slices")


def place_lesions(folder: CohortFolder, case: Case, drawing: Path, source_sha256: str) -> None:
    """Carry a drawing over to the oriented FLAIR grid and write the mask."""
    from konsil.dicom.seg import on_grid, read_seg

    as_closest_canonical: Any = nib.as_closest_canonical  # nibabel gives it no types
    flair = as_closest_canonical(open_nifti(folder.raw(case, FLAIR)))
    grid = (flair.shape, np.asarray(flair.affine, dtype=np.float64))
    files = sorted(drawing.iterdir())
    if len(files) != 1:
        raise BadInput("the lesions are not drawn in one file", expected="one segmentation", got=str(len(files)))
    if files[0].name.endswith(".nii.gz"):
        mask = on_grid(*voxels(drawing, files[0].name), grid)
    else:
        mask, _ = read_seg(files[0], grid)
    write_mask(mask, grid[1], folder.lesions(case))
    finish(
        folder.lesions(case),
        {
            **derived_facts(folder.lesions(case)),
            "Type": "Lesion",
            "Manual": True,
            "Sources": [uri(folder.raw(case, FLAIR))],
        },
        {"SourceSha256": source_sha256, "Drawing": drawing.name},
        "lesion mask carried over to the oriented FLAIR grid",
    )
