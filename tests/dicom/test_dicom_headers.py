"""What is kept of an inbox of many slices."""

from __future__ import annotations

import io

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from konsil.dicom.memory import Memory
from konsil.dicom.reading import parse

WORDS = ("SpecificCharacterSet", "EchoTime", "InstanceNumber", "SeriesDescription", "EffectiveEchoTime")


def stored(number: int, alphabet: str = "ISO_IR 100") -> io.BytesIO:
    """One slice as a file."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = MRImageStorage, f"1.2.{number}"
    dataset.SpecificCharacterSet = alphabet
    dataset.EchoTime, dataset.InstanceNumber, dataset.EffectiveEchoTime = "90", number, 90.0
    dataset.add_new("SeriesDescription", "LO", b"\xc3\xa9")
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream


def test_a_slice_holds_the_equal_values_of_the_one_before_and_keeps_its_own() -> None:
    memory = Memory()
    first, second = (parse(stored(number), WORDS, memory=memory) for number in (1, 2))
    assert second["EchoTime"] is first["EchoTime"]
    assert (first.InstanceNumber, second.InstanceNumber) == (1, 2)


def test_the_same_bytes_in_another_alphabet_are_another_text() -> None:
    memory = Memory()
    latin, unicode = (parse(stored(1, name), WORDS, memory=memory) for name in ("ISO_IR 100", "ISO_IR 192"))
    assert (latin.SeriesDescription, unicode.SeriesDescription) == ("\u00c3\u00a9", "\u00e9")


@pytest.mark.parametrize("first", [1, 2])
def test_a_header_is_the_same_with_and_without_what_was_read_before(first: int) -> None:
    memory = Memory()
    parse(stored(first), WORDS, memory=memory)
    assert parse(stored(2), WORDS, memory=memory) == parse(stored(2), WORDS)
