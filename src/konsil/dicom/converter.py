"""Running dcm2niix on one series.

dcm2niix (Li et al., J Neurosci Methods 2016) knows the habits of all vendors; the wheel of the same name ships its
binary. It is run on one folder that holds one series, and must give exactly one volume, on the very grid that the
headers describe (`geometry`). Its exit status: 0 done, 2 no DICOM, 4 corrupt, 8 partly converted, 10 incomplete volume;
any other than 0 is a refusal, and so is a line that tells of lost pixels (`complaints`). Its other warnings are kept
for the sidecar, and say more where a series is refused. It writes the volume unpacked, because that is looked at first
and packed faster here (`konsil.cohort.nifti`). At last the pictures themselves are looked at: an image without
any signal, or with one picture in two places, is no volume either.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from konsil.dicom.complaints import Complaints, complaints
from konsil.dicom.geometry import Grid, same_grid
from konsil.errors import BadInput, Unavailable
from konsil.files import read_json, working_folder
from konsil.types import Json

TIMEOUT_S = 600
DISK_FULL_BYTES = 1 << 26
EXIT_CODES = {
    2: "it found no DICOM image",
    4: "a file is corrupt",
    8: "it converted only a part",
    10: "the volume is incomplete",
}


@dataclass(frozen=True)
class Converted:
    """A volume in a folder that is about to vanish: its image, its sidecar, and what dcm2niix warned about."""

    image: Path
    sidecar: Json
    warnings: tuple[str, ...]


@contextmanager
def converted(series: Path, grid: Grid, role: str, scratch: Path) -> Iterator[Converted]:
    """Convert one series (a folder of DICOM files) and give the result; raises `BadInput` if it is not one volume.

    The result lies in a folder below `scratch` that vanishes at the end of the block.
    """
    with working_folder(scratch) as (folder, handle):
        said = run(series, folder, role, handle)
        images = sorted(folder.glob("*.nii"))
        if len(images) != 1:
            raise BadInput(
                f"the {role} does not convert to one volume",
                expected="one",
                got=f"{len(images)}. {said.sentence}".rstrip(". "),
            )
        check_pictures(check_grid(images[0], grid, role, said), role)
        sidecar = images[0].with_suffix(".json")
        yield Converted(images[0], read_json(sidecar), said.notes)


def run(series: Path, folder: Path, role: str, handle: int) -> Complaints:
    """Run the binary; return what it complained of, raise `BadInput` if it failed or lost pixels.

    It inherits `handle`, so that nobody sweeps `folder` while it writes there, even if this process was killed.
    """
    import dcm2niix  # type: ignore[import-untyped]  # the wheel publishes no types

    options = ["-z", "n", "-b", "y", "-ba", "y", "-f", "volume", "-o", str(folder), str(series)]
    try:
        ran = subprocess.run(
            [dcm2niix.bin, *options],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            errors="replace",
            pass_fds=(handle,),
        )
    except subprocess.TimeoutExpired as error:
        raise BadInput(f"converting the {role} took too long", expected=f"an end within {TIMEOUT_S} s") from error
    except OSError as error:
        raise Unavailable(
            "dcm2niix cannot be started", got=type(error).__name__, hint="Install konsil[imaging] again"
        ) from error
    said = complaints(f"{ran.stdout}\n{ran.stderr}", str(series), str(folder))
    if ran.returncode != 0:
        blame_disk(folder, ran.returncode)
        reason = EXIT_CODES.get(ran.returncode, "it gave no reason")
        got = f"exit status {ran.returncode} of dcm2niix. {said.sentence}"
        raise BadInput(f"the {role} cannot be converted: {reason}", got=got.rstrip(". "))
    if said.lost:
        raise BadInput(f"the {role} cannot be converted: pixels are lost", got=said.sentence)
    return said


def blame_disk(folder: Path, status: int = 0) -> None:
    """Raise `Unavailable` if the converter failed for want of space: no fault of the case."""
    if status == -signal.SIGXFSZ or shutil.disk_usage(folder).free < DISK_FULL_BYTES:
        raise Unavailable("the disk is full", hint="Free some space and run the step again; it goes on")


def check_grid(image: Path, grid: Grid, role: str, said: Complaints) -> npt.NDArray[Any]:
    """The voxels; refuses a volume that is cut short or does not lie where the headers say."""
    try:
        volume: Any = nib.load(image)
        voxels: npt.NDArray[Any] = np.asanyarray(volume.dataobj)
    except (OSError, EOFError, ValueError, ImageFileError, HeaderDataError, zlib.error) as error:
        blame_disk(image.parent)
        raise BadInput(f"the converted {role} cannot be read", got=type(error).__name__) from error
    if volume.ndim != 3 or not same_grid(grid, volume.shape, volume.affine):
        raise BadInput(
            f"the converted {role} does not lie where its headers say",
            expected=f"{' x '.join(map(str, grid.shape))} voxels at the position in the headers",
            got=f"{' x '.join(map(str, volume.shape))} voxels. {said.sentence}".rstrip(". "),
        )
    if not np.isfinite(volume.affine).all():
        raise BadInput(f"the converted {role} has no usable position")
    return voxels


def check_pictures(voxels: npt.NDArray[Any], role: str) -> None:
    """Refuse a volume without signal, or with the same picture in two neighbouring slices; axis 2 runs over slices."""
    if (voxels.dtype.kind == "f" and not np.isfinite(voxels).all()) or voxels.min() == voxels.max():
        raise BadInput(f"the {role} shows nothing", expected="an image", got="the same value in every voxel")
    for k in range(voxels.shape[2] - 1):
        one, other = voxels[:, :, k], voxels[:, :, k + 1]
        if np.array_equal(one, other) and one.min() != one.max():
            raise BadInput(
                f"two slices of the {role} show the same picture",
                expected="a picture of its own in each slice",
                got=f"slices {k + 1} and {k + 2} are equal",
                hint="Export the series again",
            )
