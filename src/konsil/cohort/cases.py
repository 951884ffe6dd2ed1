"""A case: one patient at one time, by pseudonym.

`sub-<subject>_ses-<session>` is the name of a case in files, tables, logs and letters. Both parts are BIDS labels
(letters and digits only, BIDS 1.10, "Entities"), so a case can be cut out of any file name without doubt.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from konsil.errors import BadInput

LABEL = re.compile(r"[A-Za-z0-9]+")
NAME = re.compile(r"sub-([A-Za-z0-9]+)_ses-([A-Za-z0-9]+)")


@dataclass(frozen=True, order=True)
class Case:
    """One patient at one time. Raises `BadInput` if a part is not letters and digits.

    >>> str(Case("7f3k", "20240131"))
    'sub-7f3k_ses-20240131'
    """

    subject: str
    session: str

    def __post_init__(self) -> None:
        for part in (self.subject, self.session):
            if not LABEL.fullmatch(part):
                raise BadInput(
                    "a subject or session cannot be part of a file name",
                    expected="letters and digits only, as BIDS demands",
                    hint="Use pseudonyms such as P01",
                )

    def __str__(self) -> str:
        return f"sub-{self.subject}_ses-{self.session}"

    @classmethod
    def parse(cls, text: str) -> Case:
        """Read `sub-X_ses-Y`; anything else raises `BadInput`."""
        match = NAME.fullmatch(text)
        if match is None:
            raise BadInput(
                "this is not the name of a case", expected="sub-<letters and digits>_ses-<…>", got=repr(text)
            )
        return cls(*match.groups())
