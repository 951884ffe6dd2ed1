"""Updates in 16 bits: differences to the round's global model, as IEEE half precision with one power of two per tensor.

Specification: docs/formats/federation.md, section 10. For a floating tensor with d = w − g (float64):

    2^14 ≤ max|d| · 2^−e < 2^15          e = the tensor's exponent; 0 where all of d is zero
    h = half(d · 2^−e)                   round to nearest, ties to even
    w' = round(g + h · 2^e)              float64, then once to the tensor's dtype

So nothing overflows, |w' − w| ≤ 2^−11 |d| for every d within 2^−28 of the largest, and ≤ 2^−39 max|d| below (subnormal
numbers). bfloat16 would need no exponent, but has 8 bits for the fraction where half precision has 11. What is lost is
not carried to the next round (no error feedback): docs/decisions/014-sixteen-bits-upwards.md says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from konsil.errors import BadMessage, Refused
from konsil.federation.strategies.contribution import Chunk, Spec, Specs
from konsil.federation.strategies.site_rule import CONTROL
from konsil.types import Tensors

EXPONENTS = "delta16/exponents"
TOP = 15  # the largest difference comes to lie in [2^14, 2^15); half precision ends at 65504
NORMAL = 1000  # 2^±e is a normal number: multiplying by it rounds as ldexp does, and is faster
BLOCK = 1 << 15  # numbers at a time: in double precision they stay in a core's cache
WIDEST = 1100  # float64 needs exponents from -1088 to 1010
HALVES = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float64)  # all that 16 bits can say
Part: TypeAlias = Callable[[str, int, int], "npt.NDArray[Any]"]


def written_specs(specs: Specs) -> dict[str, Spec]:
    """What an update of these tensors looks like on the wire: the exponents first, whole numbers as they are."""
    halves = {name: Spec(spec.shape, "float16") if spec.is_averaged else spec for name, spec in specs.items()}
    return {EXPONENTS: Spec((sum(spec.is_averaged for spec in specs.values()),), "int16"), **halves}


def encode(sent: Tensors, base: Tensors) -> Tensors:
    """The tensors to post. Differences of controls are differences already. Refused if a number is not finite."""
    exponents: list[int] = []
    made: dict[str, npt.NDArray[Any]] = {}
    for name, array in sent.items():
        if array.dtype.kind != "f":
            made[name] = np.asarray(array)
            continue
        change = _Change(array, None if name.startswith(CONTROL) else base[name])
        if not np.isfinite(largest := change.largest()):
            raise Refused(f"training made numbers in {name} that are not finite", hint="Lower the learning rate")
        exponents.append(int(np.frexp(largest)[1]) - TOP if largest else 0)
        made[name] = change.halves(exponents[-1])
    return {EXPONENTS: np.array(exponents, np.int16), **made}


class _Change:
    """w − g of one tensor in float64, a block at a time: whole copies in double precision cost more than the sums."""

    def __init__(self, array: npt.NDArray[Any], base: npt.NDArray[Any] | None) -> None:
        self._shape = array.shape
        self._new, self._old = array.reshape(-1), None if base is None else base.reshape(-1)
        self._room = np.empty(min(BLOCK, array.size))

    def largest(self) -> float:
        """The largest absolute difference; NaN or infinite if any is."""
        found = [0.0]
        for _, change in self._blocks():
            found.append(float(np.abs(change, out=change).max()))
        return float(np.max(found))

    def halves(self, exponent: int) -> npt.NDArray[np.float16]:
        """half(d · 2^−e), in the tensor's shape."""
        made, plain = np.empty(self._new.size, np.float16), abs(exponent) < NORMAL
        for part, change in self._blocks():
            made[part] = np.multiply(change, 2.0**-exponent, out=change) if plain else np.ldexp(change, -exponent)
        return made.reshape(self._shape)

    def _blocks(self) -> Iterator[tuple[slice, npt.NDArray[np.float64]]]:
        for begin in range(0, self._new.size, BLOCK):
            part = slice(begin, min(begin + BLOCK, self._new.size))
            change = self._room[: part.stop - begin]
            np.copyto(change, self._new[part])
            if self._old is not None:
                change -= self._old[part]
            yield part, change


def decoded(chunks: Iterator[Chunk], specs: Specs, base: Part) -> Iterator[Chunk]:
    """The update's numbers in the model's dtypes, chunk by chunk. `base(name, offset, size)` reads the global model.

    Raises BadMessage for exponents that are missing or out of range; all other checks are those of the caller.
    """
    floats = [name for name, spec in specs.items() if spec.is_averaged]
    exponents = _exponents(chunks, floats)
    values, of = HALVES, ""
    for name, offset, chunk in chunks:
        if name not in exponents:
            yield name, offset, chunk
            continue
        if of != name:
            values, of = _scaled(exponents[name]), name
        change = values[chunk.view("<u2")]
        if not name.startswith(CONTROL):
            change += base(name, offset, chunk.size)
        with np.errstate(over="ignore"):  # beyond the dtype's range it is infinite, and refused as that
            yield name, offset, change.astype(specs[name].dtype)


def _scaled(exponent: int) -> npt.NDArray[np.float64]:
    """h · 2^e for every h; what is not a number stays that, and is refused by the caller's checks."""
    with np.errstate(invalid="ignore"):
        return np.ldexp(HALVES, exponent)


def _exponents(chunks: Iterator[Chunk], floats: list[str]) -> Mapping[str, int]:
    name, _, values = next(chunks, ("", 0, np.zeros(0)))
    if name != EXPONENTS or values.size != len(floats):
        raise BadMessage("an update in 16 bits does not begin with its exponents")
    if values.size and int(np.abs(values.astype(np.int32)).max()) > WIDEST:
        raise BadMessage("an update in 16 bits has an exponent out of range", expected=f"-{WIDEST} to {WIDEST}")
    return dict(zip(floats, (int(value) for value in values), strict=True))
