"""DICOMDIR, the table of contents of a CD.

It is a DICOM file without an image (PS3.3, F.3): a sequence of records, of which those of images name a file by up to
eight parts of a path from the DICOMDIR's own folder. Konsil reads the images themselves, so the table is needed for one
question only: whether files that it names are missing from the copy.
"""

from __future__ import annotations

from collections.abc import Collection, Set
from typing import BinaryIO

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import MediaStorageDirectoryStorage

from konsil.dicom.reading import parse


def is_directory(header: Dataset) -> bool:
    """Whether a header is that of a DICOMDIR."""
    return bool(header.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage)


def referenced(stream: BinaryIO) -> list[str]:
    """Paths that a DICOMDIR names, relative to its folder, with `/`. Raises what pydicom raises for a broken one."""
    table = parse(stream, ["DirectoryRecordSequence", "ReferencedFileID"])
    named = [record.get("ReferencedFileID") for record in table.get("DirectoryRecordSequence") or []]
    return ["/".join(one) if isinstance(one, MultiValue | list) else str(one) for one in named if one]


def count_absent(name: str, paths: Collection[str], there: Set[str]) -> int:
    """How many of `paths`, named by the DICOMDIR called `name`, are not among the `tidy` names `there` of the inbox."""
    folder = name.rpartition("/")[0]
    return sum(tidy(f"{folder}/{path}" if folder else path) not in there for path in paths)


def tidy(name: str) -> str:
    """A name as it can be compared: media write capitals and version numbers (ISO 9660, 7.5.1), copies do not."""
    return name.replace("\\", "/").upper().partition(";")[0]
