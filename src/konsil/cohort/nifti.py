"""NIfTI files: opening and writing them quickly.

A site keeps hundreds of images, so they lie compressed on the disk. ISA-L packs four times and unpacks twice as fast as
zlib at the same size, and every gzip reads the result. Which bytes it writes may depend on the processor; so hashes are
always taken of a file that lies there, never foretold. On one machine the same voxels give the same bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import nibabel as nib
from isal import igzip, igzip_lib
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from konsil.files import write_bytes

LEVEL = 2  # of 0 to 3
NIFTI2_HEADER = 540  # bytes; the first number of such a file
NO_GZIP = cast(type[Exception], igzip_lib.IsalError)  # isal's stub takes the class for one of its instances
DAMAGED = (ImageFileError, HeaderDataError, WrapStructError, EOFError, OSError, ValueError, NO_GZIP)
"""What opening and reading a broken file raises."""


def open_nifti(path: Path) -> Any:
    """A NIfTI file as nibabel's image; a compressed one is unpacked whole, and its checksum compared.

    Raises one of `DAMAGED` if it is none, or cut short; reading the voxels may as well.
    """
    if path.suffix != ".gz":
        return nib.load(path)
    content: bytes = igzip.decompress(path.read_bytes())  # type: ignore[no-untyped-call]  # isal types the rest
    kind = nib.Nifti2Image if int.from_bytes(content[:4], "little") == NIFTI2_HEADER else nib.Nifti1Image
    return kind.from_bytes(content)


def write_nifti(path: Path, content: bytes) -> None:
    """Write the bytes of a NIfTI file, whole or not at all; packed if the name says so (.nii.gz)."""
    write_bytes(path, pack(content) if path.suffix == ".gz" else content)


def pack(content: bytes) -> bytes:
    """`content` as gzip (RFC 1952) without name and time: the same content gives the same bytes."""
    return bytes(igzip.compress(content, LEVEL, mtime=0))
