"""Ways of spoiling a DICOM file; `spoilt` does one or two of them, always the same for the same chance.

Damage comes at every level at which a file can lie: single bytes, the length and type that an element announces,
values no scanner writes, nesting, the transfer syntax, fragments of compressed pixels.
"""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Callable, Iterator

import pydicom
from fuzz_seeds import PLANTED
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import UID

from konsil.dicom.headers import TAGS
from konsil.dicom.reading import discreet

Spoil = Callable[[bytes, random.Random], bytes]

SYNTAXES = (
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.1",
    "1.2.3",
    "",
)
WORDS = TAGS.split()
NUMBERS = (0, 1, -1, 2, 255, 65535, 10**9, 2**31 - 1, 1e-300, 1e300, float("nan"), float("inf"), 3.7)
TEXTS = (
    b"",
    b"\\",
    b"\\\\\\",
    b"NaN",
    b"1e999",
    b"-0",
    b"9" * 40,
    b"***",
    b"\x00" * 9,
    b"\xff\xfe\xc3",
    b"\x1b$B\x1b(J",
)
LENGTHS = (0, 1, 2, 7, 0xFFFE, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)
VRS = b"AE AS AT CS DA DS DT FL FD IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV XX ** ??"


def elements(content: bytes) -> list[tuple[int, int, int, int]]:
    """Top-level elements of an explicit little-endian file: start, bytes of its length, their place, the value's."""
    found, at = [], 132
    while at + 8 <= len(content):
        wide = content[at + 4 : at + 6] in (b"OB", b"OW", b"SQ", b"UN", b"UT", b"OF", b"UC", b"UR")
        place, size = (at + 8, 4) if wide else (at + 6, 2)
        length = int.from_bytes(content[place : place + size], "little")
        found.append((at, size, place, place + size))
        if length == 0xFFFFFFFF:
            break
        at = place + size + length
    return found


def flip(content: bytes, chance: random.Random) -> bytes:
    """A few bytes become others, mostly in the header."""
    spoilt = bytearray(content)
    reach = len(spoilt) if chance.random() < 0.2 else max(1, min(len(spoilt), 2500))
    for _ in range(chance.choice((1, 1, 2, 5, 20, 200))):
        spoilt[chance.randrange(reach)] = chance.randrange(256)
    return bytes(spoilt)


def cut(content: bytes, chance: random.Random) -> bytes:
    """The end is missing."""
    return content[: chance.randrange(len(content))]


def shift(content: bytes, chance: random.Random) -> bytes:
    """Bytes are lost, doubled or slipped in."""
    at, span = chance.randrange(len(content)), chance.choice((1, 2, 3, 4, 8, 300))
    return chance.choice(
        (
            content[:at] + content[at + span :],
            content[:at] + chance.randbytes(span) + content[at:],
            content[: at + span] + content[at:],
        )
    )


def lie_about_length(content: bytes, chance: random.Random) -> bytes:
    """An element announces another length."""
    _, size, place, _ = chance.choice(elements(content) or [(0, 2, 0, 2)])
    length = chance.choice(LENGTHS) & (0xFFFF if size == 2 else 0xFFFFFFFF)
    return content[:place] + length.to_bytes(size, "little") + content[place + size :]


def lie_about_type(content: bytes, chance: random.Random) -> bytes:
    """An element announces another type."""
    start = chance.choice(elements(content) or [(0, 0, 0, 0)])[0]
    return content[: start + 4] + chance.choice(VRS.split()) + content[start + 6 :]


def lie_about_syntax(content: bytes, chance: random.Random) -> bytes:
    """The file announces another transfer syntax, or none."""
    dataset = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=chance.random() < 0.2)
    dataset.file_meta.TransferSyntaxUID = UID(chance.choice(SYNTAXES))
    spoilt = io.BytesIO(content[:132])
    spoilt.seek(132)
    pydicom.filewriter.write_file_meta_info(spoilt, dataset.file_meta, enforce_standard=False)
    return spoilt.getvalue() + content[content.index(b"\x08\x00", 300) :]


def odd_values(content: bytes, chance: random.Random) -> bytes:
    """Attributes hold what no scanner writes."""
    dataset = pydicom.dcmread(io.BytesIO(content))
    for _ in range(chance.choice((1, 1, 1, 3))):
        keyword = chance.choice(WORDS)
        tag = pydicom.datadict.tag_for_keyword(keyword)
        target = chance.choice([dataset, *nested(dataset)])
        if tag is None or chance.random() < 0.2:
            target.pop(tag, None)
            continue
        value: object = chance.choice((TEXTS, NUMBERS, tuple(PLANTED.values()), (content[:50],)))[0:]
        value = chance.choice(value)  # type: ignore[arg-type]
        text = value if isinstance(value, bytes) else str(value).encode()
        target.add_new(tag, "UN", b"\\".join([text] * chance.choice((1, 1, 2, 3, 6, 500))))
    return saved(dataset) or flip(content, chance)


def huge(content: bytes, chance: random.Random) -> bytes:
    """The image announces more than any machine has."""
    dataset = pydicom.dcmread(io.BytesIO(content))
    for keyword in chance.sample(("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "BitsAllocated"), 2):
        setattr(dataset, keyword, 65535 if keyword != "NumberOfFrames" else 10**9)
    if chance.random() < 0.5:
        dataset.pop("PerFrameFunctionalGroupsSequence", None)
        dataset.pop("PixelData", None)
    return saved(dataset) or cut(content, chance)


def deep(content: bytes, chance: random.Random) -> bytes:
    """Sequences within sequences."""
    dataset = pydicom.dcmread(io.BytesIO(content))
    item = Dataset()
    for _ in range(chance.choice((3, 30))):
        outer = Dataset()
        outer.SourceImageSequence = Sequence([item])
        item = outer
    setattr(dataset, chance.choice([word for word in WORDS if word.endswith("Sequence")]), Sequence([item]))
    start = b"\x08\x00\x12\x21SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    at = elements(content)[0][0]
    return saved(dataset) if chance.random() < 0.5 else content[:at] + start * 3000 + content[at:]


def broken_fragments(content: bytes, chance: random.Random) -> bytes:
    """Compressed pixels whose pieces do not fit."""
    dataset = pydicom.dcmread(io.BytesIO(content))
    piece = chance.randbytes(chance.choice((2, 64, 700)))
    dataset.PixelData = encapsulate([piece] * chance.choice((1, 2, 18)))
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = UID(chance.choice(SYNTAXES[4:8]))
    whole = saved(dataset)
    return lie_about_fragment(whole, chance) if chance.random() < 0.5 else whole


def lie_about_fragment(content: bytes, chance: random.Random) -> bytes:
    """One piece announces another length."""
    at = content.rfind(b"\xfe\xff\x00\xe0") + 4
    return content[:at] + struct.pack("<L", chance.choice(LENGTHS)) + content[at + 4 :]


def nested(dataset: Dataset) -> Iterator[Dataset]:
    """Every item of every sequence."""
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield item
                yield from nested(item)


def saved(dataset: Dataset) -> bytes:
    """The bytes of a data set; empty if pydicom will not write it."""
    out = io.BytesIO()
    try:
        dataset.save_as(out, enforce_file_format=False)
    except (ValueError, TypeError, AttributeError, OverflowError, KeyError, struct.error):
        return b""
    return out.getvalue()


SPOILERS: tuple[Spoil, ...] = (
    *(flip, flip, cut, shift, lie_about_length, lie_about_length, lie_about_type, lie_about_type),
    *(lie_about_syntax, odd_values, odd_values, odd_values, odd_values, huge, deep, broken_fragments),
)


def spoilt(content: bytes, chance: random.Random) -> bytes:
    """The same file with one or two kinds of damage."""
    for spoiler in chance.sample(SPOILERS, chance.choice((1, 1, 2))):
        try:
            with discreet():
                content = spoiler(content, chance) or content
        except Exception:  # noqa: BLE001 - what is spoilt already cannot be spoilt again in every way
            content = flip(content, chance) if content else b"\0"
    return content
