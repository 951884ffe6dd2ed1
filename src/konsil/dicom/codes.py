"""Codes that may stay: those printed in the standard, with the meaning printed there.

A coded entry (PS3.3, 8.8) carries its meaning as free text beside it, and hospitals have schemes of their own in which
a code may be anybody. So an entry stays only if it is in this table, and is written anew from it. Sources: PS3.16 CID
7201 and 7202 (why an image is referenced), CID 7203 (how it was derived), CID 7150 and 7151 (what a segment is).
"""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

MEANINGS = {
    ("DCM", "113040"): "Lossy Compression",
    ("DCM", "113072"): "Multiplanar reformatting",
    ("DCM", "113073"): "Curved multiplanar reformatting",
    ("DCM", "113076"): "Segmentation",
    ("DCM", "113085"): "Spatial resampling",
    ("DCM", "121311"): "Localizer",
    ("DCM", "121320"): "Uncompressed predecessor",
    ("DCM", "121321"): "Mask image for image processing operation",
    ("DCM", "121322"): "Source image for image processing operation",
    ("DCM", "121327"): "Full fidelity image",
    ("DCM", "121329"): "Source image for segmentation",
    ("SCT", "123037004"): "Anatomical Structure",
    ("SCT", "49755003"): "Morphologically Abnormal Structure",
    ("SCT", "85756007"): "Tissue",
    ("SCT", "12738006"): "Brain",
    ("SCT", "52988006"): "Lesion",
    ("SCT", "79654002"): "Edema",
    ("SCT", "6574001"): "Necrosis",
    ("SCT", "4147007"): "Mass",
    ("SCT", "108369006"): "Neoplasm",
    ("SRT", "T-D0050"): "Tissue",
    ("SRT", "T-A0100"): "Brain",
    ("SRT", "M-01000"): "Morphologically Altered Structure",
    ("SRT", "M-01100"): "Lesion",
}
SEGMENT = {
    "SegmentedPropertyCategoryCodeSequence": ("SCT", "49755003"),
    "SegmentedPropertyTypeCodeSequence": ("SCT", "52988006"),
}
"""What a drawing of lesions shows, for segments whose own code may not stay: readers require one."""


def entry(scheme: str, value: str, meaning: str) -> Dataset:
    """A coded entry."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def known(items: Sequence, keyword: str) -> Sequence:
    """The entries of a sequence of codes that are in the table, written from it; for a segment at least one."""
    pairs = [(str(item.get("CodingSchemeDesignator", "")), str(item.get("CodeValue", ""))) for item in items]
    found = [pair for pair in pairs if pair in MEANINGS]
    if not found and keyword in SEGMENT:
        found = [SEGMENT[keyword]]
    return Sequence([entry(*pair, MEANINGS[pair]) for pair in found])
