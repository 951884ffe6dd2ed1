"""Text in compressed frames is cut out, and the picture stays."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image, features
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

from konsil.cohort.cases import Case
from konsil.dicom.codestream import frame_only, without_remarks
from konsil.dicom.deidentify import copy_file
from konsil.dicom.pseudonyms import Pseudonyms
from konsil.dicom.rebuild import Copier

WHO = b"Plantagenet"
PICTURE = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)


def written(kind: str, **options: object) -> bytes:
    """A picture as a file of its kind."""
    out = io.BytesIO()
    Image.fromarray(PICTURE).save(out, kind, **options)
    return out.getvalue()


def seen(frame: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(frame)))


def test_a_comment_in_a_jpeg_is_cut_out_and_the_picture_stays() -> None:
    frame = written("JPEG", comment=WHO, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0" + WHO)
    assert WHO in frame
    assert WHO not in frame_only(frame)
    np.testing.assert_array_equal(seen(frame_only(frame)), seen(frame))


def test_text_behind_the_end_of_a_jpeg_is_cut_off() -> None:
    frame = frame_only(written("JPEG"))
    assert frame_only(frame + WHO).rstrip(b"\0") == frame


def test_a_comment_in_a_jpeg_2000_is_cut_out_and_the_picture_stays() -> None:
    if not features.check("jpg_2000"):
        pytest.skip("this Pillow has no JPEG 2000")
    frame = written("JPEG2000", no_jp2=True, comment=WHO.decode())
    assert WHO in frame
    assert WHO not in frame_only(frame)
    np.testing.assert_array_equal(seen(frame_only(frame)), PICTURE)


def test_a_frame_without_remarks_keeps_every_byte() -> None:
    plain = frame_only(written("JPEG"))
    for value, syntax in ((encapsulate([plain, plain]), JPEGBaseline8Bit), (encapsulate([b"\0" * 64]), RLELossless)):
        assert without_remarks(value, syntax, 2) == value


@pytest.mark.parametrize("frame", [b"", b"\xff", b"\xff\xd8", b"\xff\xd8\xff\xfe\xff\xff", b"\xff\x4f\xff", b"text"])
def test_a_broken_frame_is_no_trouble(frame: bytes) -> None:
    assert len(frame_only(frame)) <= len(frame) + 1


def test_several_frames_keep_their_order() -> None:
    frames = [written("JPEG", comment=WHO, quality=quality) for quality in (50, 70, 90)]
    value = without_remarks(encapsulate(frames), JPEG2000Lossless, 3)
    assert WHO not in value
    for before, after in zip(frames, generate_frames(value, number_of_frames=3), strict=True):
        np.testing.assert_array_equal(seen(after), seen(before))


@pytest.mark.parametrize("number", range(1, 10))
def test_real_files_of_nine_syntaxes_keep_their_voxels(number: int, data: Path, tmp_path: Path) -> None:
    source = data / "dicom" / "nasty_dcm_qa_ts" / "In"
    copy_file(source, f"{number}.dcm", tmp_path / "copy.dcm", Copier("T1w", Case("p", "1"), Pseudonyms(bytes(32))))
    before, after = pydicom.dcmread(source / f"{number}.dcm"), pydicom.dcmread(tmp_path / "copy.dcm")
    if not before.file_meta.TransferSyntaxUID.is_encapsulated:
        assert after.PixelData == before.PixelData
        return
    frames = zip(*(generate_frames(one.PixelData, number_of_frames=1) for one in (before, after)), strict=True)
    assert all(two == frame_only(one) for one, two in frames)
    assert len(after.PixelData) > 0.9 * len(before.PixelData)
