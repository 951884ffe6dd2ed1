"""One measured value, or the sentence that says why there is none.

A measure that cannot be taken is None with a note; it is never 0 or -1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """One value in the unit of its kind; `text` says it in a sentence where the number alone says little."""

    value: float | None
    text: str = ""
    note: str = ""


def taken(value: float | None, otherwise: str) -> Measured:
    """A value, or the note `otherwise` if there is none."""
    return Measured(value, note="" if value is not None else otherwise)


def absent(names: Iterable[str], note: str) -> dict[str, Measured]:
    """The same note for several measures that cannot be taken."""
    return dict.fromkeys(names, Measured(None, note=note))
