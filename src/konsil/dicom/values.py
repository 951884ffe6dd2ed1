"""One value of an attribute that is kept, as it may be kept.

An attribute's type (VR, PS3.5 6.2) says what its value can be, and only that stays. A number is written anew from its
digits; a code is held to the terms that are defined for it; of free text the words of the vocabulary stay. Whatever
else stands there (`***` for an overflow, a name in a number's place, bytes in an unknown alphabet) vanishes, and the
file goes on without it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydicom.datadict import dictionary_has_tag, dictionary_VM, dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag
from pydicom.valuerep import format_number_as_ds

from konsil.dicom.keep import DATES, DESCRIPTIONS, NAMES_OF_MACHINES
from konsil.dicom.vocabulary import coded, described, maker

DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?")
LONGEST_DECIMAL = 16
LARGEST_ORDINAL = 10**7
"""Integers count images, series and pixels; longer ones are something else: a patient's number, or text as bytes."""
LARGEST_SHORT = 1 << 13
"""Of integers of 16 bits: sizes of images and matrices are smaller, two letters read as a number are larger."""
LARGEST_QUANTITY = 1e7
"""In ms, mm, degrees, hertz per pixel; days and numbers of patients are larger."""
SMALLEST_BINARY = 1e-9
"""Of floating-point quantities other than 0; letters read as such a number are hardly ever between these two."""
IMAGE_TYPES = frozenset({"ImageType", "FrameType"})
"""Their values mean something by their position, so an unknown one leaves OTHER behind."""
STACK = re.compile(r"\d{1,4}")
BINARY = frozenset({"US", "SS", "UL", "SL", "FL", "FD"})
SUBSTANCES = {"ImagedNucleus": frozenset({"1H", "13C", "19F", "23NA", "31P"})}


@dataclass(frozen=True)
class Rules:
    """What takes the place of a UID and of a day (YYYYMMDD)."""

    uid: Callable[[str], str]
    day: Callable[[str], str]


def cleaned(element: DataElement, keyword: str, rules: Rules) -> tuple[str, Any] | None:
    """VR and value under which a kept attribute is written; None = nothing of it can stay. No sequences, no pixels."""
    vr = type_of(element.tag, element.VR)
    value = element.value
    values = list(value) if isinstance(value, MultiValue | list | tuple) else [] if value is None else [value]
    texts = [str(one).strip(" \0") for one in values]
    if len(values) > most_values(element.tag):
        return None
    if vr in BINARY:
        kept: list[Any] = values if all(is_binary(one, vr) for one in values) else []
    elif keyword in DATES:
        kept = [rules.day(texts[0].replace(".", ""))] if texts else []
    elif vr in CLEANERS:
        kept = CLEANERS[vr](texts, rules)
    elif vr == "AT":
        kept = [one for one in values if isinstance(one, BaseTag) and dictionary_has_tag(one)]
    else:
        kept = text_kept(keyword, vr, texts)
    return (vr, kept[0] if len(kept) == 1 else kept) if any(one != "" for one in kept) else None


def type_of(tag: BaseTag, found: str) -> str:
    """The VR of an attribute by the standard; where that allows two, the one found."""
    allowed = dictionary_VR(tag).split(" or ")
    return found if found in allowed else allowed[0]


def most_values(tag: BaseTag) -> float:
    """How many values an attribute may have (VM, PS3.5 6.4); infinite where the standard sets no end."""
    last = dictionary_VM(tag).split("-")[-1]
    return float(last) if last.isdecimal() else math.inf


def is_binary(value: object, vr: str) -> bool:
    """The value is a number of that type, and of a size that quantities have."""
    if vr in ("US", "SS", "UL", "SL"):
        return isinstance(value, int) and abs(value) < (LARGEST_SHORT if vr in ("US", "SS") else LARGEST_ORDINAL)
    return isinstance(value, int | float) and (value == 0 or SMALLEST_BINARY <= abs(value) <= LARGEST_QUANTITY)


def decimals(texts: list[str], _rules: Rules) -> list[str]:
    """Decimal numbers as they were written, the too long ones rounded to 16 characters.

    None of them if one is no number, since their places have meanings.
    """
    if not all(DECIMAL.fullmatch(text) and abs(float(text)) <= LARGEST_QUANTITY for text in texts):
        return []
    return [text if len(text) <= LONGEST_DECIMAL else format_number_as_ds(float(text)) for text in texts]


def integers(texts: list[str], _rules: Rules) -> list[str]:
    """Integers as they were written; none of them if one is no integer, or too long to count images."""
    return (
        texts if all(re.fullmatch(r"[+-]?\d{1,12}", one) and abs(int(one)) < LARGEST_ORDINAL for one in texts) else []
    )


def uids(texts: list[str], rules: Rules) -> list[str]:
    """UIDs, each replaced."""
    return [rules.uid(text) for text in texts if text]


def text_kept(keyword: str, vr: str, texts: list[str]) -> list[str]:
    """Of codes and free text, what is known."""
    if vr == "CS":
        return coded(texts, placeholder="OTHER" if keyword in IMAGE_TYPES else "")
    if keyword in NAMES_OF_MACHINES:
        return [maker(" ".join(texts))]
    if keyword in DESCRIPTIONS:
        return [described(" ".join(texts))]
    if keyword == "StackID":
        return [text for text in texts if STACK.fullmatch(text)]
    if keyword in SUBSTANCES:
        return [text for text in texts if text.upper() in SUBSTANCES[keyword]]
    return coded(texts) if keyword == "RescaleType" else []


CLEANERS: dict[str, Callable[[list[str], Rules], list[str]]] = {"DS": decimals, "IS": integers, "UI": uids}
