"""The copies against the standard: PS3.15 Table E.1-1, values that cannot be, pictures, private attributes."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.datadict import dictionary_has_tag, dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, MRImageStorage

from konsil.cohort.cases import Case
from konsil.dicom.keep import DATES, DESCRIPTIONS, KEPT, read_for_a_copy
from konsil.dicom.pseudonyms import Pseudonyms
from konsil.dicom.reading import discreet, parse
from konsil.dicom.rebuild import rebuild
from konsil.errors import BadInput

TABLE = json.loads((Path(__file__).parents[1] / "vectors" / "dicom" / "ps3_15_e1_1.json").read_text())["actions"]
WHO = "Plantagenet"
PLANTED = {
    "DA": "19611103",
    "DT": "19611103101112",
    "TM": "101112.987",
    "UI": "1.2.840.4711.815",
    "AS": "059Y",
    "CS": "PLANTAGENET",
}
PLANTED |= {"US": 47110, "UL": 471108150, "SS": -4711, "SL": -471108, "FD": 4711.0815, "FL": 4711.0, "AT": 0x47110815}
PLANTED |= {"DS": "4711.0815", "IS": "4711081", "OB": b"Plantagenet ", "OW": b"Plantagenet ", "UN": b"Plantagenet "}
NEEDED = {
    "SOPClassUID",
    "SOPInstanceUID",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "SamplesPerPixel",
}
PSEUDONYMS = Pseudonyms(bytes(range(32)))
CASE = Case("abcdefghij", "20000101")


def image(**tags: object) -> Dataset:
    """The smallest MR image: 4 x 4 pixels."""
    header = Dataset()
    header.SOPClassUID, header.SOPInstanceUID, header.PatientID = MRImageStorage, "1.2.3.4", "KX-4711"
    header.Rows = header.Columns = 4
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 16, 12, 11, 0
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.PixelData = np.arange(16, dtype=np.uint16).tobytes()
    for keyword, value in tags.items():
        setattr(header, keyword, value)
    return header


def copied(header: Dataset, role: str = "T1w", syntax: str = ExplicitVRLittleEndian) -> tuple[Dataset, bytes]:
    """The copy of an image that was written to a file first, and the bytes of the copy's file."""
    header.file_meta = getattr(header, "file_meta", FileMetaDataset())
    header.file_meta.TransferSyntaxUID = syntax
    original, copy = io.BytesIO(), io.BytesIO()
    with discreet():
        header.save_as(original, enforce_file_format=True)
        new = rebuild(parse(original, read_for_a_copy(), pixels=True), role, CASE, PSEUDONYMS)
    new.save_as(copy, enforce_file_format=True)
    copy.seek(0)
    return pydicom.dcmread(copy), copy.getvalue()


def element(tag: BaseTag) -> DataElement:
    """An attribute of the table with a planted value."""
    vr = (dictionary_VR(tag) if dictionary_has_tag(tag) else "UN").split(" or ")[0]
    if vr == "SQ":
        item = Dataset()
        item.PatientName = WHO
        return DataElement(tag, "SQ", Sequence([item]))
    return DataElement(tag, vr, PLANTED.get(vr, WHO))


def table() -> dict[BaseTag, str]:
    """Tag → action, with one tag for each repeating group; without the groups that are no data set (0000 to 0004)."""
    tags = {Tag(text.replace("50XXXXXX", "50003000").replace("60XX", "6000")): act for text, act in TABLE.items()}
    return {tag: action for tag, action in tags.items() if tag.group > 4}


def test_the_table_is_all_there() -> None:
    assert len(TABLE) == 655
    assert len(table()) > 640


def test_nothing_that_the_table_names_survives() -> None:
    header = image()
    for tag in table():
        header[tag] = element(tag)
    header.SOPClassUID, header.PatientID = MRImageStorage, WHO
    copy, content = copied(header, syntax=ImplicitVRLittleEndian)
    for tag, action in table().items():
        what = f"{tag} {copy[tag].keyword if tag in copy else ''} ({action})"
        if tag not in copy:
            continue
        assert action.replace("*", "") != "X" or copy[tag].keyword in DATES | DESCRIPTIONS, what
        assert str(copy[tag].value) != str(header[tag].value), what
    assert WHO.encode() not in content
    texts = [str(value).encode() for value in PLANTED.values() if isinstance(value, str) and len(value) > 4]
    assert [text for text in texts if text in content] == []


def test_nothing_that_the_table_names_survives_in_a_sequence() -> None:
    header, item = image(), Dataset()
    for tag in table():
        item[tag] = element(tag)
    item.SliceThickness = 1
    header.SharedFunctionalGroupsSequence = Sequence([Dataset()])
    header.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence = Sequence([item])
    copy, content = copied(header, syntax=ImplicitVRLittleEndian)
    inside = copy.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert inside.SliceThickness == 1
    assert {one.keyword for one in inside if one.VR not in ("DA", "UI", "SQ")} == {"SliceThickness"}
    assert WHO.encode() not in content
    assert PLANTED["UI"].encode() not in content


@pytest.mark.parametrize(
    "garbage",
    [
        *(b"*** ", b"Plantagenet ", b"Wilhelmi", b"Otto", b"\xff\xfePl\x00a", b"19611103", b"", b"  "),
        *(b"1\\***\\3 ", b"9" * 4000, b"\x1b$B\x01"),
    ],
)
def test_a_value_that_its_attribute_cannot_have_vanishes_alone(garbage: bytes) -> None:
    header = image()
    for keyword in KEPT - NEEDED - {"PixelData", "PixelRepresentation", "PhotometricInterpretation", "Modality"}:
        tag, vr = Tag(tag_for_keyword(keyword)), dictionary_VR(keyword).split(" or ")[0]
        if vr != "SQ":
            header[tag] = DataElement(tag, "OB", garbage)  # implicit VR: only the bytes are written
    header.Modality = "MR"
    copy, content = copied(header, syntax=ImplicitVRLittleEndian)
    assert copy.PixelData == header.PixelData
    assert copy.Modality == "MR"
    assert len(garbage.strip()) < 3 or garbage.strip() not in content
    assert copy.StudyDate != "19611103"


def test_codes_are_held_to_defined_terms() -> None:
    header = image(
        ImageType=["ORIGINAL", "PRIMARY", "WILHELMINA", "ND"],
        ScanningSequence=["SE", "WILHELMINA"],
        BodyPartExamined="KX4711",
        ScanOptions="FS",
    )
    copy, content = copied(header)
    assert list(copy.ImageType) == ["ORIGINAL", "PRIMARY", "OTHER", "ND"], "values count by their position"
    assert copy.ScanningSequence == "SE"
    assert "BodyPartExamined" not in copy
    assert b"WILHELMINA" not in content


def test_descriptions_keep_the_words_of_the_vocabulary() -> None:
    copy, content = copied(
        image(SeriesDescription="t1_mprage_sag_p2_iso Wilhelmina 4711", ProtocolName="Plantagenet^W 19611103")
    )
    assert copy.SeriesDescription == "T1 MPRAGE SAG P2 ISO"
    assert "ProtocolName" not in copy
    assert b"4711" not in content


def test_names_of_machines_stay_and_other_words_beside_them_do_not() -> None:
    copy, content = copied(
        image(Manufacturer="SIEMENS (Klinikum Nordtor)", ManufacturerModelName="Skyra_fit Nordtor 3")
    )
    assert (copy.Manufacturer, copy.ManufacturerModelName) == ("SIEMENS", "Skyra_fit 3")
    assert b"Nordtor" not in content


def test_the_meaning_of_a_code_is_the_standards_not_the_files() -> None:
    public, private = Dataset(), Dataset()
    public.CodeValue, public.CodingSchemeDesignator, public.CodeMeaning = "121327", "DCM", "of Wilhelmina"
    private.CodeValue, private.CodingSchemeDesignator, private.CodeMeaning = "KX4711", "99KLINIK", "Wilhelmina"
    copy, content = copied(image(DerivationCodeSequence=Sequence([public, private])))
    assert [item.CodeMeaning for item in copy.DerivationCodeSequence] == ["Full fidelity image"]
    assert b"Wilhelmina" not in content
    assert b"KX4711" not in content


def test_a_uid_below_the_root_of_the_standard_that_it_does_not_know_is_replaced() -> None:
    with discreet():
        header = image(StudyInstanceUID="1.2.840.10008.4711.1961", FrameOfReferenceUID="Plantagenet")
    copy, content = copied(header)
    assert copy.StudyInstanceUID.startswith("2.25.")
    assert copy.FrameOfReferenceUID.startswith("2.25.")
    assert b"4711" not in content


def test_references_follow_the_uids_they_point_at() -> None:
    source = Dataset()
    source.ReferencedSOPInstanceUID, source.ReferencedSOPClassUID = "1.2.3.4", MRImageStorage
    copy, _ = copied(image(SourceImageSequence=Sequence([source])))
    assert copy.SourceImageSequence[0].ReferencedSOPInstanceUID == copy.SOPInstanceUID != "1.2.3.4"
    assert copy.SourceImageSequence[0].ReferencedSOPClassUID == MRImageStorage


def test_the_scale_of_philips_stays_and_says_so() -> None:
    header = image()
    block = header.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
    block.add_new(0x0D, "FL", 0.0)
    block.add_new(0x0E, "FL", 0.0125)
    block.add_new(0x0F, "LO", WHO)
    copy, content = copied(header)
    kept = copy.private_block(0x2005, "Philips MR Imaging DD 001")
    assert kept[0x0E].value == pytest.approx(0.0125)
    assert 0x0F not in kept
    assert WHO.encode() not in content
    assert "113111" in [item.CodeValue for item in copy.DeidentificationMethodCodeSequence]


def test_a_private_block_of_anybody_else_goes_whatever_it_is_called() -> None:
    header = image()
    header.private_block(0x2005, "KLINIKUM", create=True).add_new(0x0E, "FL", 4711.0)
    header.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", b"Plantagenet ")
    copy, _ = copied(header)
    assert not any(one.tag.is_private for one in copy)


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"BurnedInAnnotation": "YES"}, "text is burned in"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "secondary capture"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.6.1"}, "ultrasound"),
        ({"ConversionType": "WSD"}, "captured from a screen"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, "saved from a screen"),
        ({"SamplesPerPixel": 3}, "in colour"),
    ],
)
def test_a_picture_that_may_have_text_in_it_is_refused(tags: dict[str, object], reason: str) -> None:
    with pytest.raises(BadInput, match=f"the FLAIR may have text burned into its pixels: .*{reason}"):
        copied(image(**tags), "FLAIR")


def test_an_overlay_in_unused_bits_is_cleared() -> None:
    pixels = np.arange(16, dtype=np.uint16)
    header = image(PixelData=(pixels | 0x8000).tobytes())
    header[0x60000102] = DataElement(0x60000102, "US", 15)
    assert copied(header)[0].PixelData == pixels.tobytes()


def test_an_overlay_in_unused_bits_is_cleared_below_a_sign() -> None:
    pixels = np.arange(-8, 8, dtype=np.int16)
    header = image(PixelData=(pixels.view(np.uint16) ^ 0x8000).tobytes(), PixelRepresentation=1)
    header[0x60000102] = DataElement(0x60000102, "US", 15)
    assert copied(header)[0].PixelData == pixels.tobytes()


def test_an_overlay_in_bits_of_the_image_is_refused() -> None:
    header = image()
    header[0x60020102] = DataElement(0x60020102, "US", 11)
    with pytest.raises(BadInput, match="a drawing in its pixels that cannot be told from the image"):
        copied(header)


def test_decimals_are_kept_as_written_and_too_long_ones_rounded() -> None:
    with discreet():
        header = image(
            ImageOrientationPatient=["1", "-1.0000000e-20", "0", "0", "0.99999999999999999999", "0"], SAR="9999999"
        )
    copy, content = copied(header)
    assert list(copy.ImageOrientationPatient) == [1, -1e-20, 0, 0, 1, 0]
    assert b"-1.0000000e-20" in content
    assert b"0.99999999999999999999" not in content
    assert copy.SAR == 9999999
    assert "SAR" not in copied(image(SAR="19611103"))[0], "no quantity is that large, but a birthday is"


def test_what_follows_the_pixels_in_their_value_is_cut_off() -> None:
    header = image()
    pixels = bytes(header.PixelData)
    header.PixelData = pixels + b"Plantagenet "
    assert copied(header)[0].PixelData == pixels


def test_nothing_stays_of_the_preamble_and_of_who_wrote_the_file() -> None:
    header = image()
    header.file_meta = FileMetaDataset()
    header.file_meta.SourceApplicationEntityTitle = "NORDTOR"
    header.preamble = b"Plantagenet".ljust(128, b"\0")
    _, content = copied(header)
    assert content[:128] == bytes(128)
    assert b"NORDTOR" not in content
