"""What the slice before said: the same bytes need not be understood again.

Slices of a series differ in a handful of values. Each attribute that is written in the very bytes of the file before,
under the same type, encoding and character set, becomes the very element that those bytes became; reading a series
takes two thirds of the time, and keeping the headers of a large inbox half the memory. Elements are shared, so whoever
changes one changes it in other headers too: build new data sets from headers, never alter them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement

LONGEST_BYTES = 1 << 10  # of a value that is compared


@dataclass
class Memory:
    """The last element of each attribute, and the bytes it came from."""

    known: dict[int, tuple[Any, DataElement]] = field(default_factory=dict)

    def recall(self, raw: Any, characters: Any) -> DataElement | None:
        """The element that these bytes became, if the same attribute was written so the last time."""
        before = self.known.get(raw.tag)
        return before[1] if before is not None and before[0] == trace(raw, characters) else None

    def keep(self, raw: Any, characters: Any, element: DataElement) -> None:
        """Remember what an element came from.

        Not kept are sequences, long values, and those whose type other attributes decide (private ones, and those for
        which the standard allows two).
        """
        if not isinstance(raw, RawDataElement) or raw.tag.is_private or len(raw.value or b"") > LONGEST_BYTES:
            return
        if element.VR != "SQ" and " or " not in dictionary_VR(raw.tag):
            self.known[raw.tag] = trace(raw, characters), element


def trace(raw: Any, characters: Any) -> tuple[Any, ...]:
    """Everything that decides what a raw element becomes."""
    return raw.VR, raw.value, raw.is_implicit_VR, raw.is_little_endian, characters
