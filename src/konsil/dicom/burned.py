"""Pictures that may have text in their pixels, and graphics hidden beside them.

A scanner's image holds no text; what workstations make often does: secondary captures, screen saves, films, ultrasound.
Nobody can promise that such a picture names no one, so it is refused as a whole, by every sign that the header gives
(PS3.3 C.7.6.1.1, C.8.6.1): the annotation flag, the class of the object, the way of conversion, the image type, colour.

Old files keep a drawing in bits of the pixels that the image does not use (an overlay with a bit position, PS3.5 8.1.2,
retired): those bits are cleared. Overlays in attributes of their own are not copied.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID, EnhancedMRImageStorage, ImplicitVRLittleEndian, MRImageStorage, SegmentationStorage

from konsil.dicom.codestream import without_remarks
from konsil.dicom.keep import OVERLAY_GROUPS
from konsil.dicom.physics import number, words
from konsil.errors import BadInput

LEGACY_MR = "1.2.840.10008.5.1.4.1.1.4.4"
SCANNED = frozenset({MRImageStorage, EnhancedMRImageStorage, LEGACY_MR, SegmentationStorage})
"""MR as scanners make it, and segmentations, which are drawings by definition and have no grey values to write in."""
SCREENS = frozenset({"SCREEN SAVE", "SCREENSAVE", "SCREEN_SAVE", "SCREENSHOT", "SCREEN CAPTURE", "CAPTURE", "FILM"})


def suspicion(header: Dataset) -> str:
    """Why a picture may have text in its pixels, as the end of a sentence; empty if nothing suggests it."""
    if words(header, "BurnedInAnnotation") == ("YES",):
        return "its header says that text is burned in"
    if str(header.get("SOPClassUID", "")) not in SCANNED:
        return "it is not an MR image, but for example a secondary capture or ultrasound"
    return captured(header)


def captured(header: Dataset) -> str:
    """Why an object that calls itself MR may be a picture of a screen or a film; empty if nothing suggests it."""
    if words(header, "ConversionType") or header.get("SecondaryCaptureDeviceManufacturer"):
        return "it was captured from a screen, a film or paper"
    if SCREENS & set(words(header, "ImageType")):
        return "its image type says that it was saved from a screen"
    if (number(header, "SamplesPerPixel") or 1) > 1 or words(header, "PhotometricInterpretation") == ("PALETTE COLOR",):
        return "it is in colour"
    return ""


def refuse_pictures(header: Dataset, role: str) -> None:
    """Raise `BadInput` for a picture that may have text in its pixels."""
    reason = suspicion(header)
    if reason:
        raise BadInput(
            f"the {role} may have text burned into its pixels: {reason}",
            expected="images as the scanner made them",
            hint="Export the original series",
        )


def syntax_of(header: Dataset) -> UID:
    """The transfer syntax; very old files name none and are implicit little endian."""
    return UID(header.file_meta.get("TransferSyntaxUID", ImplicitVRLittleEndian))


def is_compressed(header: Dataset) -> bool:
    """The pixels are encapsulated (PS3.5, A.4)."""
    return syntax_of(header).is_encapsulated


def bit_positions(header: Dataset) -> Iterator[int]:
    """Positions of the bits of the pixels that hold overlays."""
    for group in OVERLAY_GROUPS:
        position = header.get((group, 0x0102))
        if position is not None and isinstance(position.value, int) and position.value > 0:
            yield position.value


def image_only(header: Dataset) -> bytes:
    """The pixels of a file without what may follow them in the same value, or stand beside them in a frame."""
    pixels = bytes(header.PixelData)
    if is_compressed(header):
        return without_remarks(pixels, syntax_of(header), int(number(header, "NumberOfFrames") or 1))
    counts = ("Rows", "Columns", "SamplesPerPixel", "NumberOfFrames")
    bits = math.prod(int(number(header, name) or 1) for name in counts) * int(number(header, "BitsAllocated") or 16)
    length = (bits + 7) // 8
    return pixels[:length] + bytes(length % 2) if len(pixels) > length else pixels


def without_overlays(header: Dataset, role: str) -> bytes:
    """The pixels of a file with the bits of embedded overlays cleared; unchanged if there are none.

    Raises `BadInput` if such pixels are compressed, or if the drawing lies in bits of the image itself.
    """
    pixels = image_only(header)
    positions = list(bit_positions(header))
    if not positions:
        return pixels
    stored = int(number(header, "BitsStored") or 0)
    lowest = int(number(header, "HighBit") or 0) - stored + 1
    in_image = any(lowest <= position < lowest + stored for position in positions)
    if header.get("BitsAllocated") != 16 or in_image or is_compressed(header):
        raise BadInput(
            f"the {role} has a drawing in its pixels that cannot be told from the image",
            hint="Export it without overlays",
        )
    order = "<" if syntax_of(header).is_little_endian else ">"
    values = np.frombuffer(pixels, np.dtype(f"{order}u2"))
    image = (values >> lowest) & ((1 << stored) - 1)
    if header.get("PixelRepresentation") == 1:  # the sign fills the bits above, as it does without overlays
        image = image | np.where(image >> (stored - 1) & 1, 0xFFFF << stored & 0xFFFF, 0)
    return (image << lowest).astype(values.dtype).tobytes()
