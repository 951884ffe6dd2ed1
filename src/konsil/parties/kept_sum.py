"""A masked sum on the disk, read piece by piece: while the mean is made of it, no model more lies in memory.

It is not mapped into memory either: pages of a mapped file that were looked at count as the process's own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from konsil.federation.manifest import DTYPES
from konsil.files import replacing
from konsil.types import Json, Tensors

UPDATES, METADATA = "updates", "__metadata__"


class KeptSum:
    """The tensors in an open safetensors file that starts with `header` (`begin` bytes with its length)."""

    def __init__(self, file: BinaryIO, header: Json, begin: int) -> None:
        self._file, self._header, self._begin = file, header, begin

    @property
    def names(self) -> list[str]:
        """What it holds."""
        return [name for name in self._header if name != METADATA]

    def tensor(self, name: str) -> npt.NDArray[Any]:
        """One tensor, in memory that is the caller's."""
        shape = self._header[name]["shape"]
        return self.part(name, 0, math.prod(shape)).reshape(shape)

    def part(self, name: str, offset: int, size: int) -> npt.NDArray[Any]:
        """`size` numbers of a tensor in C order, from `offset` on, in memory that is the caller's."""
        entry = self._header[name]
        dtype = np.dtype(DTYPES[entry["dtype"]])
        self._file.seek(self._begin + entry["data_offsets"][0] + offset * dtype.itemsize)
        return np.fromfile(self._file, dtype, size)


def keep_sum(path: Path, updates: str, sums: Tensors) -> None:
    """Write a sum, bound to the updates it is made of, in place of the ones in its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, mode=0o600) as part:
        save_file(dict(sums), part, metadata={UPDATES: updates})
    for old in path.parent.glob("[0-9]*.safetensors"):
        if old != path:
            old.unlink(missing_ok=True)


@contextmanager
def open_sum(path: Path, updates: str) -> Iterator[KeptSum | None]:
    """The sum of exactly these updates; None if it is not there, or damaged."""
    with ExitStack() as opened:
        try:
            checked = opened.enter_context(safe_open(path, framework="numpy"))  # header and length
            is_wanted = (checked.metadata() or {}).get(UPDATES) == updates
            file = opened.enter_context(path.open("rb"))
        except (OSError, SafetensorError):
            is_wanted = False
        if not is_wanted:
            yield None
            return
        length = int.from_bytes(file.read(8), "little")
        yield KeptSum(file, json.loads(file.read(length)), 8 + length)
