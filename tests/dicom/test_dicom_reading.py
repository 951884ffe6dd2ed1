"""Files that lie about themselves are read no further than they are true."""

from __future__ import annotations

import io
import logging
import struct
import tracemalloc
import zlib
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from konsil.dicom.geometry import frames_of
from konsil.dicom.reading import BROKEN, LARGEST_HEADER_BYTES, discreet, parse
from konsil.errors import BadInput

EXPLICIT, DEFLATED = b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99"
LARGEST_PEAK_BYTES = 8 << 20


def file_of(body: bytes, syntax: bytes = EXPLICIT) -> io.BytesIO:
    """A DICOM file: preamble, transfer syntax, and whatever follows."""
    meta = b"\x02\x00\x10\x00UI" + struct.pack("<H", len(syntax)) + syntax
    return io.BytesIO(bytes(128) + b"DICM" + meta + body)


def element(tag: tuple[int, int], vr: bytes, value: bytes) -> bytes:
    """A short explicit element."""
    return struct.pack("<HH2sH", *tag, vr, len(value)) + value


def peak_of(stream: io.BytesIO, *words: str) -> int:
    """Bytes that reading takes at most."""
    tracemalloc.start()
    try:
        parse(stream, words)
    except BROKEN:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak


def test_an_announced_length_of_four_gigabytes_allocates_nothing(tmp_path: Path) -> None:
    body = struct.pack("<HH2sHL", 0x0008, 0x103E, b"UT", 0, 0xFFFFFFF0) + b"end"
    (tmp_path / "lie").write_bytes(file_of(body).getvalue())
    tracemalloc.start()
    with (tmp_path / "lie").open("rb") as stream:
        assert parse(stream, ["SeriesDescription"]).get("SeriesDescription", "end") == "end"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < LARGEST_PEAK_BYTES


def test_a_deflate_bomb_is_not_inflated() -> None:
    bomb = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    content = bomb.compress(bytes(80 << 20)) + bomb.flush()
    with pytest.raises(ValueError, match="inflates to more"):
        parse(file_of(content, DEFLATED), ["Rows"])
    assert peak_of(file_of(content, DEFLATED), "Rows") < LARGEST_PEAK_BYTES


def test_a_header_larger_than_any_header_is_refused() -> None:
    piece = struct.pack("<HH2sHL", 0x0008, 0x103E, b"UT", 0, 1 << 20) + bytes(1 << 20)
    with pytest.raises(ValueError, match="larger than any header"):
        parse(file_of(piece * (LARGEST_HEADER_BYTES // len(piece) + 2)), ["SeriesDescription"])


def test_sequences_nested_three_thousand_deep_are_refused() -> None:
    piece = struct.pack("<HH2sHL", 0x0008, 0x2112, b"SQ", 0, 0xFFFFFFFF) + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    with pytest.raises(BROKEN):
        parse(file_of(piece * 3000), ["SourceImageSequence"])


def test_a_value_of_another_type_is_read_as_what_its_attribute_is() -> None:
    header = parse(file_of(element((0x0018, 0x0080), b"US", b"2300")), ["RepetitionTime"])
    assert header.RepetitionTime == 2300
    header = parse(file_of(element((0x0008, 0x0060), b"US", b"MR")), ["Modality"])
    assert header.Modality == "MR"


def test_a_value_that_cannot_be_read_is_absent_and_the_others_stay() -> None:
    body = element((0x0008, 0x0060), b"CS", b"MR") + element((0x0020, 0x0013), b"IS", b"KX47")
    header = parse(file_of(body), ["Modality", "InstanceNumber"])
    assert (header.Modality, "InstanceNumber" in header) == ("MR", False)


def test_a_text_longer_than_any_is_absent() -> None:
    body = struct.pack("<HH2sHL", 0x0008, 0x103E, b"UT", 0, 1 << 17) + b"x" * (1 << 17)
    assert "SeriesDescription" not in parse(file_of(body), ["SeriesDescription"])


def test_a_sequence_that_holds_text_is_a_sequence_or_absent() -> None:
    body = element((0x0008, 0x1115), b"LO", b"PLANTAGENET ")
    found = parse(file_of(body), ["ReferencedSeriesSequence"]).get("ReferencedSeriesSequence", Sequence())
    assert isinstance(found, Sequence)


def test_pydicom_says_no_value_while_a_file_is_read(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.INFO, "pydicom")
    parse(file_of(element((0x0008, 0x0020), b"DA", b"WILHELMINA")), ["StudyDate"])
    with discreet():
        logging.getLogger("pydicom.pixels.decoders.base").error("of WILHELMINA")
    assert caplog.text == ""
    assert logging.getLogger("pydicom").level == logging.INFO


def test_a_billion_frames_are_refused_before_they_are_counted() -> None:
    header = Dataset()
    header.Rows = header.Columns = 16
    header.NumberOfFrames = 10**9
    header.ImagePositionPatient, header.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    header.PixelSpacing, header.SliceThickness = [1, 1], 1
    with pytest.raises(BadInput, match="more frames than a head"):
        frames_of([header])


@pytest.mark.parametrize("value", [1e300, float("nan"), float("inf")])
def test_a_place_outside_of_the_world_is_refused(value: float) -> None:
    header = Dataset()
    header.Rows = header.Columns = 16
    header.add(pydicom.DataElement("ImagePositionPatient", "FD", [0.0, value, 0.0], validation_mode=0))
    header.ImageOrientationPatient, header.PixelSpacing = [1, 0, 0, 0, 1, 0], [1, 1]
    with pytest.raises(BadInput, match="broken place"):
        frames_of([header])


def test_an_image_that_describes_more_slices_than_it_has_is_refused() -> None:
    header = Dataset()
    header.PerFrameFunctionalGroupsSequence = Sequence([Dataset(), Dataset(), Dataset()])
    header.NumberOfFrames = 2
    with pytest.raises(BadInput, match="more slices than it has"):
        frames_of([header])
