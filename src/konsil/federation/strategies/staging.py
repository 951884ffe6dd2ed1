"""All updates of a round on disk, so that rules that compare sites can look at one piece of one tensor at a time.

The updates are written into one nameless file, which vanishes with the process, site after site in charter order, each
checked by `Reading` on its way. Then `blocks` gives the same stretch of all sites as the rows of one array: memory is
about 16 MiB, however large the model and however many the sites (disk: all updates).

Whole numbers have no order worth ranking: `agreed` gives those that most sites sent (among equals the first in charter
order) and refuses a site that differs, so that one wrong site does not make all the others look wrong.
"""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from konsil.errors import Unavailable
from konsil.federation.strategies.contribution import Contribution, Reading, Specs, Unusable, total_weight

BLOCK_BYTES = 1 << 24


class Staged:
    """The updates of a round in a file: site i of `sites` begins at i times the size of the model."""

    def __init__(self, file: BinaryIO, sites: list[str], specs: Specs) -> None:
        self._handle, self.sites, self.specs = file.fileno(), sites, specs
        self._begin, self._size = {}, 0
        for name, spec in specs.items():
            self._begin[name] = self._size
            self._size += spec.size * np.dtype(spec.dtype).itemsize
        self._digests: dict[str, list[str]] = {}

    def write(self, place: int, contribution: Contribution) -> None:
        """Check and write one update; Unusable if its numbers cannot be used."""
        hashes = {name: hashlib.sha256() for name, spec in self.specs.items() if not spec.is_averaged}
        for name, offset, chunk in Reading(contribution, self.specs).chunks():
            content = np.ascontiguousarray(chunk).view(np.uint8).data
            self._write(content, self._at(place, name, offset))
            if name in hashes:
                hashes[name].update(content)
        for name, found in hashes.items():
            self._digests.setdefault(name, []).append(found.hexdigest())

    def blocks(self, name: str) -> Iterator[tuple[slice, npt.NDArray[Any]]]:
        """(stretch of the flat tensor, array of shape (sites, elements) in the model's dtype), front to back."""
        spec, width = self.specs[name], np.dtype(self.specs[name].dtype).itemsize
        step = max(1, BLOCK_BYTES // (8 * len(self.sites)))
        for begin in range(0, spec.size, step):
            end = min(begin + step, spec.size)
            rows = [self._read((end - begin) * width, self._at(i, name, begin)) for i in range(len(self.sites))]
            yield slice(begin, end), np.stack([np.frombuffer(row, spec.dtype) for row in rows])

    def part(self, place: int, name: str, offset: int, size: int) -> npt.NDArray[Any]:
        """`size` numbers of one site's tensor, from `offset` on."""
        dtype = np.dtype(self.specs[name].dtype)
        return np.frombuffer(self._read(size * dtype.itemsize, self._at(place, name, offset)), dtype)

    def agreed(self, name: str) -> npt.NDArray[Any]:
        """The whole numbers that most sites sent, in the model's shape; Unusable names the first that differs."""
        spec, digests = self.specs[name], self._digests[name]
        common = Counter(digests).most_common(1)[0][0]  # equally common ones come in the order they were first seen
        for site, digest in zip(self.sites, digests, strict=True):
            if digest != common:
                first = self.sites[digests.index(common)]
                raise Unusable(site, f"the whole numbers of tensor {name} differ from those of {first}")
        size = math.prod(spec.shape) * np.dtype(spec.dtype).itemsize
        row = self._read(size, self._at(digests.index(common), name, 0))
        return np.frombuffer(row, spec.dtype).reshape(spec.shape).copy()

    def _at(self, place: int, name: str, offset: int) -> int:
        return place * self._size + self._begin[name] + offset * np.dtype(self.specs[name].dtype).itemsize

    def _write(self, content: memoryview, at: int) -> None:
        while len(content):
            written = os.pwrite(self._handle, content, at)
            content, at = content[written:], at + written

    def _read(self, size: int, at: int) -> bytes:
        parts: list[bytes] = []
        while size > 0:
            part = os.pread(self._handle, size, at)
            if not part:
                raise Unavailable("the updates put aside for this round are gone from the disk", hint="Try again")
            parts.append(part)
            size, at = size - len(part), at + len(part)
        return b"".join(parts)


@contextmanager
def staged(contributions: list[Contribution], specs: Specs, folder: Path | None) -> Iterator[Staged]:
    """Write all updates into a nameless file in `folder` (None: the system's place). Raises Unusable, BadMessage."""
    total_weight(contributions)
    with tempfile.TemporaryFile(dir=folder) as file:
        together = Staged(file, [contribution.site for contribution in contributions], specs)
        for place, contribution in enumerate(contributions):
            together.write(place, contribution)
        del contribution, contributions  # what they were read from may go, however long the file is used
        yield together
