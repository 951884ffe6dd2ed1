"""Opening a sum at the centre: which shares are asked for, which are good, which seeds follow, which masks come off.

A sum over the included sites U holds, of every i in U, its self mask and its masks with the sites that are not in U;
masks between two of U cancel. Both are opened from shares of what i itself has split, so who is missing is not needed.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from konsil.errors import BadMessage
from konsil.federation.secure.keys import SEED
from konsil.federation.secure.masks import MaskStream
from konsil.federation.secure.shares import combined, digest
from konsil.types import Json, Tensors

Shares = Mapping[str, Mapping[str, bytes]]


@dataclass(frozen=True)
class Sum:
    """The sum of round `number` over `included`, in a `group` (names in order) of the run."""

    run: str
    number: int
    group: tuple[str, ...]
    included: tuple[str, ...]

    def wanted(self, site: str) -> list[str]:
        """Of which secrets of an included site shares are revealed: its own place, and those who are not there."""
        return [site, *(name for name in self.group if name not in self.included)]

    def chosen(self, rows: Mapping[str, list[bytes]]) -> Json:
        """The content of `reveal` from my opened rows, by included site."""
        place = {name: number for number, name in enumerate(self.group)}
        return {
            "shares": {
                site: {name: base64.b64encode(row[place[name]]).decode() for name in self.wanted(site)}
                for site, row in rows.items()
            }
        }

    def read(self, content: Json, site: str, commitments: Tensors) -> Shares:
        """The shares that `site` revealed, all of them, each fitting its commitment. BadMessage otherwise."""
        said = content.get("shares")
        if set(content) != {"shares"} or not isinstance(said, dict) or not set(said) <= set(self.included):
            raise BadMessage("it does not hold the shares that the roll asks for, and no others")
        if absent := [owner for owner in self.included if owner not in said]:
            raise BadMessage(f"it has no shares of {', '.join(absent)}, whose row for it did not open")
        return {owner: self._shares(said[owner], owner, site, commitments[owner]) for owner in self.included}

    def _shares(self, said: object, owner: str, site: str, commitments: npt.NDArray[Any]) -> dict[str, bytes]:
        if not isinstance(said, dict) or set(said) != set(self.wanted(owner)):
            raise BadMessage(f"it does not hold the shares of {owner} that open this sum, and no others")
        found = {name: _plain(text) for name, text in said.items()}
        promised = commitments[1 + self.group.index(site)]
        if any(digest(share) != promised[self.group.index(name)].tobytes() for name, share in found.items()):
            raise BadMessage(f"a share of {owner} is not the one that was given to it")
        return found

    def masks(
        self, revealed: Mapping[str, Shares], threshold: int, commitments: Tensors
    ) -> Iterator[tuple[MaskStream, int]]:
        """The masks in the sum, with the sign that takes them off. BadMessage names whose seed does not come out."""
        for owner in self.included:
            for name in self.wanted(owner):
                given = {1 + self.group.index(site): shares[owner][name] for site, shares in revealed.items()}
                promised = commitments[owner][0, self.group.index(name)].tobytes()
                try:
                    seed = combined(given, threshold, promised)
                except BadMessage as error:
                    raise BadMessage(f"the masks of {owner} do not come off: {error.what}") from error
                is_first = name == owner or self.group.index(name) > self.group.index(owner)
                yield MaskStream(seed, self.run, self.number), -1 if is_first else 1


def _plain(text: object) -> bytes:
    try:
        share = base64.b64decode(str(text), validate=True)
    except (ValueError, binascii.Error) as error:
        raise BadMessage("a share is not read", expected="base64") from error
    if len(share) != SEED:
        raise BadMessage("a share is not read", expected=f"{SEED} bytes")
    return share
