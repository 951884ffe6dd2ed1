"""Remarks inside compressed pixels.

A compressed frame (PS3.5, A.4) is a file of its own kind and can carry text of its own: JPEG and JPEG-LS have comment
and application segments before the image (ITU-T T.81 B.2.4, T.87), JPEG 2000 comments in its main header (T.800 A.9.2),
and all of them may be followed by anything behind their end marker. Such segments decode to nothing; they are cut out,
and a frame without any keeps every byte. Adobe's segment (APP14) and JPEG-LS's colour transform (APP8) stay, since
decoders read them. RLE (PS3.5, Annex G) has no place for text.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import UID, RLELossless

JPEG, JPEG_2000 = b"\xff\xd8", b"\xff\x4f"
END = b"\xff\xd9"
SCAN, TILE = 0xDA, 0x90
"""The segments with which the image itself begins: start of scan, start of tile-part."""
COMMENTS = frozenset({0xFE, *range(0xE0, 0xF0)} - {0xE8, 0xEE})
COMMENTS_2000 = frozenset({0x64})


def without_remarks(pixels: bytes, syntax: UID, frames: int) -> bytes:
    """The value of encapsulated PixelData without text in its frames; the same bytes if there was none."""
    if syntax == RLELossless:
        return pixels
    original = list(generate_frames(pixels, number_of_frames=frames))
    cleaned = [frame_only(frame) for frame in original]
    return pixels if cleaned == original else encapsulate(cleaned)


def frame_only(frame: bytes) -> bytes:
    """One frame without comments and without what follows its end; unchanged if it is of no known kind."""
    kind = frame[:2]
    if kind not in (JPEG, JPEG_2000):
        return frame
    unwanted = COMMENTS if kind == JPEG else COMMENTS_2000
    whole = kind + b"".join(segment for marker, segment in segments(frame) if marker not in unwanted)
    end = whole.rfind(END) + len(END)
    rest = whole[end:] if end >= len(END) else b""
    return whole if not rest.strip(b"\0") else whole[:end] + bytes(end % 2)


def segments(frame: bytes) -> Iterator[tuple[int, bytes]]:
    """The segments before the image as (marker, bytes); last, under the marker it begins with, all of the image."""
    at = 2
    while at + 4 <= len(frame) and frame[at] == 0xFF and frame[at + 1] not in (SCAN, TILE):
        length = 2 + int.from_bytes(frame[at + 2 : at + 4])
        yield frame[at + 1], frame[at : at + length]
        at += length
    yield SCAN, frame[at:]
