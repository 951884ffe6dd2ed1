"""What a server optimiser remembers from round to round, and how a restarted centre finds it again.

The truth lies in the store: every global model names exactly the updates that went into it, so the memory after a
round is a function of what the buckets hold. Because working it out anew costs all rounds, the memory that belongs to a
global model is kept beside the run, under that message's digest, written after the message stands:

    runs/<run>/optimizer/<digest of the global model>-<SHA-256 of the file>.safetensors

A file that is lost, damaged or of another model costs a replay, never another result: same updates, same bits. The two
newest are kept. Nothing of it leaves the centre.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from konsil.federation.manifest import DTYPES, TensorTable
from konsil.federation.payload import Gathering, TensorSource
from konsil.federation.strategies.contribution import Specs
from konsil.files import PART, replacing, sha256_of
from konsil.types import Tensors

COPY_BYTES = 1 << 20
log = logging.getLogger(__name__)


class Momenta:
    """The memories of one run's global models; `specs` are the memory's tensors (none: nothing is remembered)."""

    def __init__(self, folder: Path, specs: Specs) -> None:
        self.folder, self.specs = folder, specs

    def after(self, digests: list[str], redo: Callable[[int, Tensors], Tensors]) -> Tensors:
        """The memory that belongs to the newest of `digests` (one per round, from round 0 on).

        `redo(round, memory before it)` does a round again and gives the memory after it.
        """
        newest = len(digests) - 1
        kept = ((number, self._read(digests[number])) for number in range(newest, 0, -1))
        known, memory = next(((number, found) for number, found in kept if found is not None), (0, {}))
        for number in range(known + 1, newest + 1):
            log.info("what the strategy remembers of round %d is worked out again", number)
            memory = redo(number, memory)
        return memory

    def keep(self, digest: str, memory: Tensors, *, before: str) -> None:
        """Keep the memory of the global model `digest`, and of those before it only that of `before`."""
        if not self.specs:
            return
        ordered = {name: memory[name] for name in self.specs}
        sha256 = hashlib.sha256()
        for block in blocks(TensorSource(ordered)):
            sha256.update(block)
        with replacing(self.folder / f"{digest}-{sha256.hexdigest()}.safetensors") as part, part.open("wb") as file:
            file.writelines(blocks(TensorSource(ordered)))
        for path in self.folder.glob("*.safetensors"):
            if not path.name.startswith((PART, f"{digest}-", f"{before}-")):
                path.unlink(missing_ok=True)

    def _read(self, digest: str) -> Tensors | None:
        """The memory that belongs to a global model; None where it is not there, or not as it was written."""
        path = next(iter(sorted(self.folder.glob(f"{digest}-*.safetensors"))), None)
        if path is None:
            return None
        if sha256_of(path) != path.stem.removeprefix(f"{digest}-"):
            log.warning("what the strategy remembered on this disk is damaged")
            return None
        gathering = Gathering(table_for(self.specs))
        sink = gathering.sink()
        with path.open("rb") as file:
            for block in blocks(file):
                sink.write(block)
        sink.close()
        return gathering.tensors()


def blocks(source: TensorSource | BinaryIO) -> Iterator[bytes]:
    """The bytes of a source, a MiB at a time."""
    while block := source.read(COPY_BYTES):
        yield block


def table_for(specs: Specs) -> TensorTable:
    """The order, shapes and dtypes in which a memory lies in its file."""
    codes = {np.dtype(numpy).name: code for code, numpy in DTYPES.items()}
    return TensorTable(
        names=tuple(specs),
        shapes=tuple(spec.shape for spec in specs.values()),
        dtypes=tuple(codes[spec.dtype] for spec in specs.values()),
    )
