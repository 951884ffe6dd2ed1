"""Zip archives in an inbox: read where they lie, never unpacked.

PACS and CD burners hand out studies as zip files. A zip ends with a table of its entries (APPNOTE 6.3, 4.3.12), so an
archive that is cut short has no table and cannot be read at all. Nothing is written to the disk, so a name that leads
out of the archive could do no harm; it is refused all the same, because no honest export makes one. An archive that
claims to hold far more than deflate gives for images is a zip bomb: its entries are refused before any is unpacked.
What is recognised is the content, never the extension.
"""

from __future__ import annotations

import io
import lzma
import zipfile
import zlib
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, cast

from konsil.errors import BadInput

SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06")
"""How a zip begins: its first entry, or, of an empty one, its table."""
READABLE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
LARGEST_ENTRY_BYTES = 4 << 30
MOST_ENTRIES = 500_000
HARMLESS_BYTES = 1 << 30
LARGEST_RATIO = 200
"""An archive above `HARMLESS_BYTES` may unpack to this many times its size; images of MRI shrink 2 to 10 times."""
IN_MEMORY_BYTES = 64 << 20
DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError)
"""What reading an entry raises if its bytes are not what was packed."""

BROKEN = "The archive is broken or cut short."
BOMB = "The archive would unpack to far more than images can; it was not read."
CROWDED = f"The archive holds more than {MOST_ENTRIES} entries; unpack it into the inbox."
ENCRYPTED = "The files in the archive are encrypted; unpack it into the inbox."
COMPRESSION = "The files in the archive are packed in a way that cannot be read; unpack it into the inbox."
TOO_LARGE = "A file in the archive is larger than 4 GiB; unpack it into the inbox."
ASTRAY = "The archive holds names that lead out of it; those files were not read."
HIDDEN = "The archive holds several files under one name; only the last of each can be read."


def is_archive(start: bytes) -> bool:
    """Whether the first bytes of a file are those of a zip archive. A DICOM file may begin so too: ask it first."""
    return start.startswith(SIGNATURES)


def entries(archive: Path) -> tuple[list[str], Counter[str]]:
    """The names of the files in an archive that can be read, sorted, and how many cannot, by sentence.

    Raises `BadInput` for an archive that cannot be read at all.
    """
    found = opened(archive)
    files = [entry for entry in found.infolist() if not entry.filename.endswith("/")]
    readable: set[str] = set()
    refused: Counter[str] = Counter()
    for entry in files:
        reason = HIDDEN if found.NameToInfo[entry.filename] is not entry else why_not(entry)
        if reason:
            refused[reason] += 1
        else:
            readable.add(entry.filename)
    return sorted(readable), refused


def why_not(entry: zipfile.ZipInfo) -> str:
    """Why an entry is not read; empty if it is."""
    parts = entry.filename.replace("\\", "/").split("/")
    if not parts[0] or ".." in parts:
        return ASTRAY
    if entry.flag_bits & 0x1:
        return ENCRYPTED
    if entry.compress_type not in READABLE:
        return COMPRESSION
    return TOO_LARGE if entry.file_size > LARGEST_ENTRY_BYTES else ""


def open_entry(archive: Path, name: str) -> BinaryIO:
    """A seekable stream of one file in an archive; small ones are unpacked at once and their checksum is verified.

    Raises `FileNotFoundError` if there is no such entry, `BadInput` if it may not be read, one of `DAMAGED` or
    `EOFError` if its bytes are not what was packed.
    """
    found = opened(archive)
    try:
        entry = found.getinfo(name)
    except KeyError:
        raise FileNotFoundError from None
    reason = why_not(entry)
    if reason:
        raise BadInput(reason)
    stream = found.open(entry)
    if entry.file_size > IN_MEMORY_BYTES:
        return io.BufferedReader(cast(io.RawIOBase, stream), buffer_size=1 << 20)
    with stream:
        return io.BytesIO(stream.read())


def has_entry(archive: Path, name: str) -> bool:
    """Whether the archive has a file of that name."""
    return name in opened(archive).NameToInfo


def opened(archive: Path) -> zipfile.ZipFile:
    """The archive, open; its table is read once as long as the file stays the same."""
    state = archive.stat()
    return _open(archive, state.st_ino, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=4)
def _open(archive: Path, _inode: int, size: int, _changed: int) -> zipfile.ZipFile:
    try:
        found = zipfile.ZipFile(archive)
    except (*DAMAGED, ValueError, NotImplementedError, EOFError, OverflowError) as error:
        raise BadInput(BROKEN, hint="Export it again") from error
    total = sum(entry.file_size for entry in found.infolist())
    reason = CROWDED if len(found.infolist()) > MOST_ENTRIES else ""
    if total > HARMLESS_BYTES and total > LARGEST_RATIO * size:
        reason = BOMB
    if reason:
        found.close()
        raise BadInput(reason)
    return found
