"""Adopting: a frozen cohort from images that somebody else prepared.

Public data sets and earlier projects come as NIfTI pairs: the channels of a case and its label on one grid. They
skip the DICOM steps and the report, so nobody signs; `origin` says "adopted" and the verdict is "not judged". What
can be checked is checked: one grid for channels and label, three dimensions, finite numbers, only announced labels.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from pydantic import ValidationError

from konsil.cohort.cases import Case
from konsil.cohort.folder import check_cohort_name
from konsil.cohort.freeze import inside, keep
from konsil.cohort.frozen import FrozenCase, FrozenCohort, broken_rule
from konsil.cohort.splits import DEFAULT_FRACTIONS, SPLITS, UNLABELLED, check_fractions, split_patients
from konsil.errors import BadInput
from konsil.files import replacing, sha256_of, working_folder
from konsil.provenance import versions
from konsil.types import Json

GRID_TOLERANCE_MM = 1e-3
"""Affines of one grid may differ by rounding in the header (float32 quaternions), not by a fraction of a voxel."""


@dataclass(frozen=True)
class Pair:
    """One case: its images by channel, its label, and (if the split is given) where it belongs.

    `subject` and `session` are BIDS labels and should be pseudonyms already: nothing is renamed.
    """

    subject: str
    images: Mapping[str, Path]
    label: Path | None = None
    session: str = "01"
    split: str | None = None
    case: Case = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "case", Case(self.subject, self.session))
        if self.split is not None and self.split not in SPLITS:
            raise BadInput(f"{self.case} has an unknown split", expected=", ".join(SPLITS), got=repr(self.split))


def adopt(
    pairs: Iterable[Pair],
    *,
    name: str,
    channels: Sequence[str],
    labels: Mapping[str, int],
    root: Path,
    seed: int,
    fractions: Sequence[float] = DEFAULT_FRACTIONS,
    link: bool = False,
) -> FrozenCohort:
    """Check, place and freeze prepared pairs in the cohort folder `root` (`SiteFolder(home).cohort(name).path`).

    Files are copied, or hard-linked with `link` (they must then never be edited); an image whose axes are not in RAS+
    order is rewritten so. The split is drawn by patient unless every labelled pair names its own. Raises `BadInput` if
    a pair is not usable or the name is frozen with other content; then nothing is frozen.
    """
    check_cohort_name(name)
    check_fractions(fractions)
    pairs = sorted(pairs, key=lambda pair: pair.case)
    for pair in pairs:
        check_pair(pair, channels, labels)
    splits = explicit_split(pairs) or split_patients(
        {pair.subject for pair in pairs if pair.label}, seed=seed, fractions=fractions
    )
    with folder_for(root) as folder:
        cases = [place_case(pair, folder, splits, link=link) for pair in pairs]
    content: Json = {
        "name": name,
        "channels": list(channels),
        "labels": dict(labels),
        "seed": seed,
        "fractions": tuple(fractions),
        "cases": cases,
    }
    return keep(assemble(content, root))


def assemble(content: Json, root: Path) -> FrozenCohort:
    """Check the rules of docs/formats/cohort.md; `BadInput` names the one that is broken."""
    try:
        return FrozenCohort(**content, origin="adopted", sign_off=None, software=versions(), root=root)
    except ValidationError as error:
        raise BadInput(
            "these pairs cannot be a cohort", expected="docs/formats/cohort.md", got=broken_rule(error)
        ) from error


@contextmanager
def folder_for(root: Path) -> Iterator[Path]:
    """Where the files go: into the cohort, or, if it is frozen already, beside it, only to be compared with it."""
    if not (root / "cohort.json").exists():
        yield root
        return
    with working_folder(root.parent) as (folder, _):
        yield folder


def explicit_split(pairs: Sequence[Pair]) -> dict[str, str]:
    """The split that the pairs name themselves; empty if none does, refused if only some do or a patient has two."""
    labelled = [pair for pair in pairs if pair.label]
    named = {pair.subject: pair.split for pair in labelled if pair.split}
    if not named:
        return {}
    if any(pair.split is None or named[pair.subject] != pair.split for pair in labelled):
        raise BadInput(
            "the split is given for some cases only, or a patient lies in two",
            expected="one split per patient, or none",
        )
    return {subject: split for subject, split in named.items() if split}


def check_pair(pair: Pair, channels: Sequence[str], labels: Mapping[str, int]) -> None:
    """Raise `BadInput` unless channels and label lie on one grid and hold what they should."""
    if set(pair.images) != set(channels):
        raise BadInput(
            f"{pair.case} has other channels than the cohort", expected=", ".join(channels), got=", ".join(pair.images)
        )
    images = {channel: load(path, f"the {channel} of {pair.case}") for channel, path in pair.images.items()}
    first = images[channels[0]]
    for channel, image in images.items():
        check_same_grid(first, image, f"the {channel} of {pair.case}")
        if not np.isfinite(np.asanyarray(image.dataobj)).all():
            raise BadInput(f"the {channel} of {pair.case} holds numbers that are not finite")
    if pair.label is None:
        return
    label = load(pair.label, f"the label of {pair.case}")
    check_same_grid(first, label, f"the label of {pair.case}")
    unknown = sorted(set(np.unique(np.asanyarray(label.dataobj)).tolist()) - set(labels.values()))
    if unknown:
        raise BadInput(
            f"the label of {pair.case} holds values that no label has",
            expected=", ".join(f"{value} ({key})" for key, value in labels.items()),
            got=", ".join(f"{value:g}" for value in unknown[:5]),
        )


def load(path: Path, role: str) -> Any:
    """Open a three-dimensional NIfTI image; a broken or missing one is refused by its role, not its path."""
    if not path.name.endswith((".nii", ".nii.gz")):
        raise BadInput(f"{role} is not NIfTI", expected="a file that ends in .nii or .nii.gz")
    try:
        image: Any = nib.load(path)
    except (OSError, nib.filebasedimages.ImageFileError) as error:
        raise BadInput(f"{role} cannot be read", expected="a NIfTI file", got=type(error).__name__) from error
    if image.ndim != 3:
        raise BadInput(f"{role} is not a volume", expected="three dimensions", got=str(image.shape))
    return image


def check_same_grid(first: Any, image: Any, role: str) -> None:
    """Raise `BadInput` unless both images have the same shape and (within `GRID_TOLERANCE_MM`) the same affine."""
    if first.shape != image.shape:
        raise BadInput(
            f"{role} is not on the grid of the first channel", expected=str(first.shape), got=str(image.shape)
        )
    off = float(np.abs(first.affine - image.affine).max())
    if off > GRID_TOLERANCE_MM:
        raise BadInput(
            f"{role} is not on the grid of the first channel",
            expected=f"affines equal within {GRID_TOLERANCE_MM} mm",
            got=f"a difference of {off:.3g}",
            hint="Resample it, or correct its header",
        )


def place_case(pair: Pair, root: Path, splits: Mapping[str, str], *, link: bool) -> FrozenCase:
    """Put the files of one pair into the cohort and hash them."""
    folder = root / "derivatives" / "konsil" / f"sub-{pair.subject}" / f"ses-{pair.session}" / "anat"
    images = {channel: folder / f"{pair.case}_desc-adopted_{channel}.nii.gz" for channel in pair.images}
    label = folder / f"{pair.case}_desc-adopted_dseg.nii.gz" if pair.label else None
    for channel, target in images.items():
        place(pair.images[channel], target, link=link)
    if pair.label and label:
        place(pair.label, label, link=link)
    files = [*images.values(), *([label] if label else [])]
    return FrozenCase(
        case=str(pair.case),
        subject=pair.subject,
        split=splits[pair.subject] if label else UNLABELLED,  # type: ignore[arg-type]  # one of SPLITS
        images={channel: inside(path, root) for channel, path in images.items()},
        label=inside(label, root) if label else None,
        verdict="not judged",
        sha256={inside(path, root): sha256_of(path) for path in files},
    )


def place(source: Path, target: Path, *, link: bool) -> None:
    """Copy or link one image; rewrite it only if its axes are not RAS+ or it is not compressed."""
    as_closest_canonical: Any = nib.as_closest_canonical  # nibabel gives it no types
    image = nib.load(source)
    canonical = as_closest_canonical(image)  # the very same object if the axes are RAS+ already
    with replacing(target) as part:
        if canonical is not image or not source.name.endswith(".nii.gz"):
            nib.save(canonical, part)
        elif link:
            part.unlink()
            os.link(source.resolve(), part)
        else:
            shutil.copyfile(source, part)
