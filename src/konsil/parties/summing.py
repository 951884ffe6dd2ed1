"""The centre's part in secure aggregation: add masked updates up, take the masks off the sum, hand the mean on.

    runs/<run>/sums/0003.safetensors    the masked sum of round 3, and what the sites have committed to

It is a cache: what is missing, damaged or of other updates is added up again from the mailbox, to the same bits.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from konsil.errors import BadMessage, Refused, Unavailable
from konsil.federation.charter import Charter
from konsil.federation.delta16 import Part
from konsil.federation.mailbox import Letter, Mailbox
from konsil.federation.secure.keys import Group
from konsil.federation.secure.masked import COMMITMENTS, SHARES, masked_specs
from konsil.federation.secure.masks import BLOCK, Masks, MaskStream
from konsil.federation.secure.opening import Shares, Sum
from konsil.federation.secure.ring import FixedPoint
from konsil.federation.slot import Kind, Slot
from konsil.federation.strategies.contribution import Chunk, Contribution, Reading, Specs, Unusable
from konsil.parties.kept_sum import keep_sum, open_sum
from konsil.parties.masking import group_of, ring_of
from konsil.trust.roster import CENTRE
from konsil.types import Json, Tensors

Seeds: TypeAlias = Callable[[], Iterator[tuple[MaskStream, int]]]
PROMISED = "promised/"
SUM = "the sum"


class Unopened(Refused):
    """A sum cannot be opened, or cannot be right."""


class TooFewShares(Refused):
    """Without the reveals that are not good (slot → why), too few are left; the caller waits for others."""

    def __init__(self, bad: Mapping[Slot, str]) -> None:
        self.bad = bad
        super().__init__("too few sites have revealed good shares")


class Summing:
    """The masked sums of one run; `letters` are those that stand, `specs` those of the model."""

    def __init__(
        self, mailbox: Mailbox, charter: Charter, letters: Mapping[Slot, Letter], folder: Path, specs: Specs
    ) -> None:
        self.mailbox, self.charter, self.letters, self.specs = mailbox, charter, letters, specs
        self.folder, recipe = folder / "sums", letters[Slot(Kind.recipe, CENTRE)]
        self.group: Group = group_of(charter, recipe)
        self.ring: FixedPoint = ring_of(charter, recipe)

    def called(self, number: int, updates: Mapping[str, Letter]) -> Json:
        """Add up the updates and keep the sum; the content of `roll`. Unusable names a site whose update is not."""
        rows = self._added(number, updates)
        names = self.group.names
        return {
            "shares": {
                name: {site: base64.b64encode(rows[site][place].tobytes()).decode() for site in updates}
                for place, name in enumerate(names)
            }
        }

    def mean(self, number: int, updates: Mapping[str, Letter], base: Part) -> tuple[Contribution, list[str]]:
        """The weighted mean of the updates as one contribution, and the sites that helped to open it.

        `base` reads the global model before. TooFewShares names reveals that are not good, Unopened says why
        the sum is of no use.
        """
        promised = self._promised(number, updates)
        if promised is None:
            self._added_again(number, updates)
            promised = self._promised(number, updates) or {}
        names, needed = self.group.names, self.charter.secure_needed
        asked = Sum(self.charter.run, number, names, tuple(name for name in names if name in updates))
        revealed = self._revealed(asked, promised, needed)
        seeds = partial(asked.masks, revealed, needed, promised)
        _masks(seeds)  # all of them are there
        stream = partial(self._stream, number, updates, seeds, base)
        return Contribution(SUM, _cases(updates), stream), list(revealed)

    def _revealed(self, asked: Sum, promised: Tensors, needed: int) -> dict[str, Shares]:
        """The first `needed` good reveals in the group's order."""
        revealed: dict[str, Shares] = {}
        bad: dict[Slot, str] = {}
        for site in self.group.names:
            slot = Slot(Kind.reveal, site, asked.number)
            if slot not in self.letters or len(revealed) == needed:
                continue
            try:
                revealed[site] = asked.read(self.mailbox.read_json(self.letters[slot]), site, promised)
            except BadMessage as error:
                bad[slot] = error.sentence
        if len(revealed) < needed:
            raise TooFewShares(bad)
        return revealed

    def _added_again(self, number: int, updates: Mapping[str, Letter]) -> None:
        """Likewise when the sum is fixed already: an update that is gone or changed since cannot be left out."""
        try:
            self._added(number, updates)
        except Unusable as error:
            raise Unopened(f"the update of {error.site} is no longer what was added up: {error.what}") from error

    def _promised(self, number: int, updates: Mapping[str, Letter]) -> dict[str, npt.NDArray[Any]] | None:
        """What the sites have committed to, as it was kept with the sum; None without that sum."""
        with open_sum(self._path(number), _named(updates)) as added:
            if added is None:
                return None
            theirs = [name for name in added.names if name.startswith(PROMISED)]
            return {name.removeprefix(PROMISED): added.tensor(name) for name in theirs}

    def _stream(self, number: int, updates: Mapping[str, Letter], seeds: Seeds, base: Part) -> Iterator[Chunk]:
        """The mean, block by block. Unopened if a number cannot be the sum of clipped changes."""
        cases, masks = _cases(updates), _masks(seeds)
        with open_sum(self._path(number), _named(updates)) as added:
            if added is None:
                raise Unavailable("the sum of the round is gone from the disk", hint="Try again")
            for name, spec in self.specs.items():
                for begin in range(0, spec.size, BLOCK):
                    part = added.part(name, begin, min(BLOCK, spec.size - begin))
                    if spec.is_averaged:
                        masks.apply(part)
                        self._check(name, part, cases, len(updates))
                    yield name, begin, self._averaged(name, begin, part, cases, base)

    def _averaged(self, name: str, begin: int, part: npt.NDArray[Any], cases: int, base: Part) -> npt.NDArray[Any]:
        """Numbers of an opened sum as weights; whole numbers as they are."""
        spec = self.specs[name]
        if not spec.is_averaged:
            return part
        return (base(name, begin, part.size) + self.ring.mean(part, cases)).astype(spec.dtype)

    def _check(self, name: str, summed: npt.NDArray[Any], cases: int, sites: int) -> None:
        if not self.ring.holds(summed, cases, sites):
            raise Unopened(f"a number of {name} lies where no sum of clipped changes does; a site's masks are wrong")

    def _added(self, number: int, updates: Mapping[str, Letter]) -> dict[str, npt.NDArray[Any]]:
        """Add the updates up, keep the sum, give each site's sealed rows. Checks everything but the numbers' sense."""
        wire = masked_specs(self.specs, self.group.size)
        sums: dict[str, npt.NDArray[Any]] = {
            name: np.zeros(spec.shape, spec.dtype) for name, spec in wire.items() if name in self.specs
        }
        rows, seen = {}, dict[str, str]()
        for site, letter in updates.items():
            own = {name: np.zeros(wire[name].shape, np.uint8) for name in (SHARES, COMMITMENTS)}
            parts = Contribution(site, letter.manifest.facts["cases"], partial(self.mailbox.stream_tensors, letter))
            for name, offset, chunk in Reading(parts, wire).chunks():
                self._take({**sums, **own}[name].reshape(-1)[offset : offset + chunk.size], name, chunk, site, seen)
            rows[site], sums[f"{PROMISED}{site}"] = own[SHARES], own[COMMITMENTS]
        keep_sum(self._path(number), _named(updates), sums)
        return rows

    def _take(
        self, into: npt.NDArray[Any], name: str, chunk: npt.NDArray[Any], site: str, seen: dict[str, str]
    ) -> None:
        """Add masked numbers; whole numbers have to be the same everywhere."""
        if name in self.specs and self.specs[name].is_averaged:
            into += chunk
        elif name not in self.specs or seen.setdefault(name, site) == site:
            into[:] = chunk
        elif not np.array_equal(into, chunk):
            raise Unusable(site, f"the whole numbers of tensor {name} differ from those of {seen[name]}")

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:04d}.safetensors"


def _masks(seeds: Seeds) -> Masks:
    """The masks that come off, from the beginning. Unopened names whose seed does not come out."""
    try:
        return Masks(seeds())
    except BadMessage as error:
        raise Unopened(error.what) from error


def _cases(updates: Mapping[str, Letter]) -> int:
    return sum(letter.manifest.facts["cases"] for letter in updates.values())


def _named(updates: Mapping[str, Letter]) -> str:
    return json.dumps({site: letter.manifest.digest for site, letter in updates.items()})
