"""Opening DICOM files that nobody has vouched for.

A file says itself how long its values are (PS3.5, 7.1), and may say 4 GB where ten bytes follow, nest sequences a
thousand deep, or inflate to a thousand times its size. So nothing is allocated on its word: reads end where the file
ends, the header has a largest size, and what is deflated may grow only so far. A value that cannot be read, or has
another type than its attribute (PS3.6), is read as its attribute's type or counts as absent; what remains is safe to
ask for. pydicom's own remarks are silenced: they repeat values and file names, hence patients.
"""

from __future__ import annotations

import functools
import logging
import struct
import warnings
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import pydicom
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag

from konsil.dicom.archive import DAMAGED
from konsil.dicom.memory import Memory

LARGEST_HEADER_BYTES = 1 << 25
"""Headers of enhanced images with thousands of frames take some megabytes."""
LARGEST_VALUE_BYTES = 1 << 16
"""Of one value that is neither a sequence nor pixels; the longest ones in use are some hundred bytes."""
LARGEST_INFLATION = 64
"""Deflated images are two to ten times as large inflated; deflate itself reaches a thousand."""
LARGEST_INFLATED_BYTES = 1 << 30
CHUNK_BYTES = 1 << 20
CHARACTERS = 0x00080005  # SpecificCharacterSet
PIXELS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
BROKEN = (
    *(OSError, EOFError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, NotImplementedError),
    *(RecursionError, MemoryError, AssertionError, BytesLengthException, struct.error, *DAMAGED),
)
"""What pydicom raises for headers that are cut short or scrambled, and archives for damaged files."""


class Careful:
    """A file for pydicom: reads end with the file, the header with its allowance. It has no name to print."""

    def __init__(self, stream: BinaryIO, size: int, allowance: int) -> None:
        self.stream, self.size, self.allowance = stream, size, allowance
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes. pydicom asks for all the rest only where it inflates it."""
        if size > CHUNK_BYTES:
            size = min(size, max(0, self.size - self.tell()))
        content = self.stream.read(size)
        if size < 0:
            check_inflated(content)
        self.allowance -= len(content)
        if self.allowance < 0:
            raise ValueError("the header is larger than any header")
        return content


def check_inflated(content: bytes) -> None:
    """Raise `ValueError` if deflated bytes (PS3.5, A.5) grow beyond what images do."""
    inflator, size = zlib.decompressobj(wbits=-zlib.MAX_WBITS), 0
    largest = min(LARGEST_INFLATED_BYTES, CHUNK_BYTES + LARGEST_INFLATION * len(content))
    while content and not inflator.eof:
        size += len(inflator.decompress(content, CHUNK_BYTES))
        content = inflator.unconsumed_tail
        if size > largest:
            raise ValueError("the file inflates to more than an image does")


@contextmanager
def discreet() -> Iterator[None]:
    """Keep pydicom from saying values and file names, by warnings or in the log."""
    log = logging.getLogger("pydicom")
    before = log.level
    log.setLevel(logging.CRITICAL + 1)  # its children ask it
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)


def parse(stream: BinaryIO, keywords: Iterable[str], *, pixels: bool = False, memory: Memory | None = None) -> Dataset:
    """The attributes `keywords` of the DICOM file in `stream`, every value readable; with `pixels`, the pixels too.

    Without `pixels`, `stream` stands at the pixel element afterwards. With `memory`, values that the file before had
    as well are shared with it. Raises `InvalidDicomError` if it is no DICOM, one of `BROKEN` if it cannot be read.
    """
    size = stream.seek(0, 2)
    stream.seek(0)
    start = stream.read(132)
    stream.seek(0)
    ancient = start[128:] != b"DICM" and start[:2] == b"\x08\x00"
    careful = Careful(stream, size, size + LARGEST_HEADER_BYTES if pixels else LARGEST_HEADER_BYTES)
    with discreet():
        found = pydicom.dcmread(
            cast(BinaryIO, careful),
            stop_before_pixels=not pixels,
            specific_tags=tags_of(frozenset(keywords)),
            force=ancient,
        )
        settle(found, memory or Memory())
        settle(found.file_meta, memory or Memory())
    return found


@functools.lru_cache(maxsize=16)
def tags_of(keywords: frozenset[str]) -> list[BaseTag]:
    """The tags of keywords (or of 8 hexadecimal digits): sought once, not for every file of a series."""
    return [Tag(keyword) for keyword in sorted(keywords)]


def read_dicom(file: Path, keywords: Iterable[str], *, pixels: bool = False, memory: Memory | None = None) -> Dataset:
    """`parse` of a file on disk."""
    with file.open("rb") as stream:
        return parse(stream, keywords, pixels=pixels, memory=memory)


def settle(dataset: Dataset, memory: Memory) -> None:
    """Read every value now, sequences to their end, and take out those that cannot be read."""
    characters = dataset.get_item(CHARACTERS).value if CHARACTERS in dataset else None
    for tag in list(dataset.keys()):
        raw = dataset.get_item(tag)
        known = memory.recall(raw, characters) if isinstance(raw, RawDataElement) else None
        if known is not None:
            dataset[tag] = known
            continue
        try:
            element = settled(dataset, raw)
        except BROKEN:
            del dataset[tag]
            continue
        memory.keep(raw, characters, element)
        if isinstance(element.value, Sequence):
            for item in element.value:
                settle(item, Memory())


def settled(dataset: Dataset, raw: DataElement | RawDataElement) -> DataElement:
    """The element of a data set as it is understood; raises one of `BROKEN` if it cannot be read."""
    meant = understood(raw)
    if isinstance(meant, RawDataElement) and meant is not raw:
        dataset[raw.tag] = meant
    element = dataset[raw.tag]
    if element.VR in ("DS", "IS") and not is_numeric(element.value):
        raise ValueError("text where a number belongs")
    return element


def is_numeric(value: Any) -> bool:
    """A number, several, or none; pydicom hands out as text what it cannot read as a number."""
    return not any(isinstance(one, str) and one for one in (value if isinstance(value, MultiValue) else [value]))


def understood(element: DataElement | RawDataElement) -> DataElement | RawDataElement:
    """The element with a type that its attribute may have; raises `ValueError` or `KeyError` if there is none."""
    if element.tag.is_private:
        return element
    allowed = dictionary_VR(element.tag).split(" or ")
    if isinstance(element, DataElement):
        if element.VR not in allowed:
            raise ValueError("a sequence where a value belongs, or the reverse")
        return element
    expected = element if element.VR in (None, "UN", *allowed) else element._replace(VR=allowed[0])
    if "SQ" not in allowed and element.tag not in PIXELS and len(element.value or b"") > LARGEST_VALUE_BYTES:
        raise ValueError("longer than any value")
    return expected
