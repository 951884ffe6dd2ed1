"""The centre's part in secure aggregation: add masked updates up, take the masks off the sum, hand the mean on.

    runs/<run>/sums/0003.safetensors    the masked sum of round 3, and what the sites have committed to

It is a cache: what is missing, damaged or of other updates is added up again from the mailbox, to the same bits.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from konsil.errors import BadMessage, Refused
from konsil.federation.charter import Charter
from konsil.federation.delta16 import Part
from konsil.federation.mailbox import Letter, Mailbox
from konsil.federation.secure.keys import Group
from konsil.federation.secure.masked import COMMITMENTS, SHARES, masked_specs
from konsil.federation.secure.masks import BLOCK, apply_masks
from konsil.federation.secure.opening import Shares, Sum
from konsil.federation.secure.ring import FixedPoint
from konsil.federation.slot import Kind, Slot
from konsil.federation.strategies.contribution import Chunk, Contribution, Reading, Specs, Unusable
from konsil.files import replacing
from konsil.parties.masking import group_of, ring_of
from konsil.trust.roster import CENTRE
from konsil.types import Json, Tensors

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
        added = self._kept(number, updates)
        if added is None:
            self._added_again(number, updates)
            added = self._kept(number, updates) or {}
        promised = {name.removeprefix(PROMISED): added.pop(name) for name in list(added) if name.startswith(PROMISED)}
        cases = sum(letter.manifest.facts["cases"] for letter in updates.values())
        helpers = self._open(number, tuple(updates), added, promised)
        for name, array in added.items():
            if self.specs[name].is_averaged and not self.ring.holds(array.reshape(-1), cases, len(updates)):
                raise Unopened(
                    f"a number of {name} lies where no sum of clipped changes does; a site's masks are wrong"
                )
        return Contribution(SUM, cases, partial(self._stream, added, cases, base)), helpers

    def _open(self, number: int, sites: tuple[str, ...], added: Tensors, promised: Tensors) -> list[str]:
        """Take the masks off, in place."""
        names, needed = self.group.names, self.charter.secure_needed
        included = tuple(name for name in names if name in sites)
        asked = Sum(self.charter.run, number, names, included)
        revealed = self._revealed(asked, promised, needed)
        floats = {name: added[name] for name, spec in self.specs.items() if spec.is_averaged}
        try:
            apply_masks(floats, asked.masks(revealed, needed, promised))
        except BadMessage as error:
            raise Unopened(error.what) from error
        return list(revealed)

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

    def _stream(self, added: Mapping[str, npt.NDArray[Any]], cases: int, base: Part) -> Iterator[Chunk]:
        for name, spec in self.specs.items():
            flat = added[name].reshape(-1)
            for begin in range(0, flat.size, BLOCK):
                part = flat[begin : begin + BLOCK]
                if spec.is_averaged:
                    yield name, begin, (base(name, begin, part.size) + self.ring.mean(part, cases)).astype(spec.dtype)
                else:
                    yield name, begin, part

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
        self._keep(number, updates, sums)
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

    def _keep(self, number: int, updates: Mapping[str, Letter], sums: Tensors) -> None:
        """Keep the newest sum, bound to the updates it is made of."""
        path = self._path(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, mode=0o600) as part:
            save_file(dict(sums), part, metadata={"updates": _named(updates)})
        for old in self.folder.glob("[0-9]*.safetensors"):
            if old != path:
                old.unlink(missing_ok=True)

    def _kept(self, number: int, updates: Mapping[str, Letter]) -> dict[str, npt.NDArray[Any]] | None:
        """The sum of exactly these updates; None if it is not there, or damaged."""
        try:
            with safe_open(self._path(number), framework="numpy") as stream:
                if (stream.metadata() or {}).get("updates") != _named(updates):
                    return None
                return {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 - not a mapping
        except (OSError, SafetensorError):
            return None


def _named(updates: Mapping[str, Letter]) -> str:
    return json.dumps({site: letter.manifest.digest for site, letter in updates.items()})
