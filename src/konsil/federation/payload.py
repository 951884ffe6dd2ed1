"""The inside of a payload, written and read as a stream: safetensors for weights, canonical JSON for everything else.

safetensors (Hugging Face, format 1): eight bytes with the length of the header, little-endian; the header, a JSON
object name → {dtype, shape, data_offsets}; then the numbers, little-endian, C order. We fix what the format leaves
open: tensors follow each other in the order of the manifest's table without gaps, the header is canonical JSON in
that order, padded with spaces to a multiple of eight. So a reader that knows the signed table knows every byte of the
header beforehand and only compares: no foreign header is ever parsed, and no size in it is ever believed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from konsil.errors import BadInput, BadMessage
from konsil.federation.manifest import DTYPES, TensorTable
from konsil.types import Tensors

Array: TypeAlias = "npt.NDArray[np.generic]"
Chunk: TypeAlias = "tuple[str, int, Array]"
CHUNK_BYTES = 1 << 20
JSON_LIMIT = 1 << 26  # 64 MiB: a fingerprint with sketches of many cases stays far below


def table_of(tensors: Tensors) -> TensorTable:
    """Names, shapes and dtypes in the order of the mapping; `BadInput` for a dtype that is not exchanged."""
    codes = {numpy: code for code, numpy in DTYPES.items()}
    for name, array in tensors.items():
        if array.dtype.newbyteorder("<").str not in codes:
            raise BadInput(f"tensor {name} cannot be sent", expected=", ".join(DTYPES), got=str(array.dtype))
    try:
        return TensorTable(
            names=tuple(tensors),
            shapes=tuple(array.shape for array in tensors.values()),
            dtypes=tuple(codes[array.dtype.newbyteorder("<").str] for array in tensors.values()),
        )
    except ValidationError as error:
        raise BadInput("a tensor cannot be sent", expected="a name of 1 to 500 plain characters") from error


def header(table: TensorTable) -> bytes:
    """The first bytes of the file: the length and the header, for exactly this table."""
    entries, begin = {}, 0
    for name, shape, dtype, size in table.rows():
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, begin + size]}
        begin += size
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


class TensorSource:
    """The safetensors file of `tensors` as a stream, made while it is read: no second copy of the model."""

    def __init__(self, tensors: Tensors) -> None:
        self._parts = self._views(tensors)
        self._part = memoryview(b"")

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes (a block of any size if negative); empty only at the end."""
        while not len(self._part):
            following = next(self._parts, None)
            if following is None:
                return b""
            self._part = following
        taken, self._part = (
            self._part[: size if size >= 0 else None],
            self._part[size if size >= 0 else len(self._part) :],
        )
        return bytes(taken)

    @staticmethod
    def _views(tensors: Tensors) -> Iterator[memoryview]:
        yield memoryview(header(table_of(tensors)))
        for array in tensors.values():
            little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
            yield little.reshape(-1).view(np.uint8).data


class Piece(NamedTuple):
    """The next bytes that are gathered before anything is done with them; name None = the header."""

    name: str | None
    offset: int
    size: int


class TensorSink:
    """Takes a safetensors file in pieces of any size and hands on its numbers in chunks of about 1 MiB.

    `emit(chunk)` gets (name, offset in elements, one-dimensional array); chunks never cross tensors. `BadMessage` if
    the header is not the one of `table` or the length differs. Memory: one chunk.
    """

    def __init__(self, table: TensorTable, emit: Callable[[Chunk], None]) -> None:
        self._header, self._emit = header(table), emit
        self._dtypes = dict(zip(table.names, table.dtypes, strict=True))
        self._plan = self._pieces(table)
        self._piece: Piece | None = next(self._plan)
        self._gathered = bytearray()

    def write(self, content: bytes, /) -> int:
        """Take the next bytes."""
        view = memoryview(content)
        while len(view):
            if self._piece is None:
                raise BadMessage("a payload goes on after its last tensor", expected="the tensors of its manifest")
            taken = view[: self._piece.size - len(self._gathered)]
            self._gathered += taken
            view = view[len(taken) :]
            if len(self._gathered) == self._piece.size:
                self._complete(self._piece)
        return len(content)

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Everything must have come; `BadMessage` otherwise."""
        if self._piece is not None:
            raise BadMessage("a payload ends before its last tensor", expected="the tensors of its manifest")

    def _complete(self, piece: Piece) -> None:
        if piece.name is None:
            if self._gathered != self._header:
                raise BadMessage("a payload does not hold the tensors that its manifest names, or in another form")
        else:
            array = np.frombuffer(self._gathered, dtype=DTYPES[self._dtypes[piece.name]])
            self._emit((piece.name, piece.offset, array))
        self._piece, self._gathered = next(self._plan, None), bytearray()

    def _pieces(self, table: TensorTable) -> Iterator[Piece]:
        yield Piece(None, 0, len(self._header))
        for name, _, dtype, size in table.rows():
            width = np.dtype(DTYPES[dtype]).itemsize
            for begin in range(0, size, CHUNK_BYTES):
                yield Piece(name, begin // width, min(CHUNK_BYTES, size - begin))


class Gathering:
    """Puts chunks together to whole tensors; a tensor's memory is taken when its first chunk has come."""

    def __init__(self, table: TensorTable) -> None:
        self._table = table
        self._flat: dict[str, Array] = {}

    def take(self, chunk: Chunk) -> None:
        """Put one chunk in its place."""
        name, offset, values = chunk
        if name not in self._flat:
            shape = self._table.shapes[self._table.names.index(name)]
            self._flat[name] = self._room(math.prod(shape), values.dtype)
        self._flat[name][offset : offset + values.size] = values

    @staticmethod
    def _room(size: int, dtype: np.dtype[Any]) -> Array:
        try:
            return np.empty(size, dtype=dtype)
        except (MemoryError, ValueError) as error:
            raise BadMessage("a payload names a tensor that does not fit into this computer's memory") from error

    def tensors(self) -> Tensors:
        """All tensors in the order of the table."""
        empty = {name: np.empty(shape, DTYPES[dtype]) for name, shape, dtype, size in self._table.rows() if size == 0}
        flat = {**self._flat, **empty}
        return {name: flat[name].reshape(shape) for name, shape, _, _ in self._table.rows()}


class JsonSink(BytesIO):
    """Gathers a JSON payload, up to 64 MiB."""

    def write(self, content: bytes, /) -> int:  # type: ignore[override]
        """Take the next bytes."""
        if self.tell() + len(content) > JSON_LIMIT:
            raise BadMessage("a payload is too long", expected=f"at most {JSON_LIMIT} bytes of JSON")
        return super().write(content)
