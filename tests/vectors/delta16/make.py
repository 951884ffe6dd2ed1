"""Makes the vectors of docs/formats/federation.md, section 10: python tests/vectors/delta16/make.py

Computed with Python's own floats and `struct` (format "e": IEEE half precision, ties to even), not with the code
under test. A case holds one tensor: `base` g and `trained` w as float32, what is posted (`exponent` e, `half` h), and
`read` w', all numbers as little-endian hexadecimal bytes. Cases with `refused` are posts that MUST NOT be accepted.
"""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CASES: dict[str, tuple[str, list[float], list[float]]] = {
    "small_steps": ("a usual round", [0.5, -0.25, 1.0], [0.5009765625, -0.2512, 0.99991]),
    "unchanged": ("w = g everywhere: e = 0", [0.5, -0.25], [0.5, -0.25]),
    "one_of_them_unchanged": ("zero stays zero", [0.5, -0.25], [0.75, -0.25]),
    "ties_to_even": ("halves of the last place", [0.0] * 4, [1.0, 1 + 2**-11, 1 + 3 * 2**-11, 1 - 2**-12]),
    "just_below_a_power": ("rounds up to 2^15, which half precision has", [0.0], [1.9999999]),
    "subnormal": ("differences far below the largest", [0.0] * 4, [1.0, 2.0**-30, 2.0**-39, 2.0**-41]),
    "tiny_weights": ("subnormal float32", [2.0**-149], [2.0**-148]),
    "largest": ("the whole range of float32", [-3.4e38], [3.4e38]),
}


def words(values: list[float], code: str) -> str:
    """Little-endian bytes."""
    return struct.pack(f"<{len(values)}{code}", *values).hex()


def single(value: float) -> float:
    """Rounded to float32."""
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def case(about: str, base: list[float], trained: list[float]) -> dict[str, Any]:
    """One tensor, there and back."""
    base, trained = [single(value) for value in base], [single(value) for value in trained]
    change = [w - g for w, g in zip(trained, base, strict=True)]
    largest = max(map(abs, change))
    exponent = math.frexp(largest)[1] - 15 if largest else 0
    half = [struct.unpack("<e", struct.pack("<e", math.ldexp(d, -exponent)))[0] for d in change]
    read = [single(g + math.ldexp(h, exponent)) for g, h in zip(base, half, strict=True)]
    return {
        "about": about,
        "base": words(base, "f"),
        "trained": words(trained, "f"),
        "exponent": exponent,
        "half": words(half, "e"),
        "read": words(read, "f"),
    }


def refused(about: str, exponents: list[int], half: str, why: str) -> dict[str, Any]:
    """A post that is not accepted."""
    return {"about": about, "base": words([1.0], "f"), "exponents": exponents, "half": half, "refused": why}


def main() -> None:
    """Write one file per case."""
    made = {name: case(*content) for name, content in CASES.items()}
    one = words([1.0], "e")
    made["exponent_too_large"] = refused("e = 1101", [1101], one, "out of range")
    made["exponent_lowest"] = refused("e = -32768, whose amount I16 does not have", [-32768], one, "out of range")
    made["exponents_too_few"] = refused("none for the one tensor", [], one, "does not begin with its exponents")
    made["beyond_float32"] = refused("w' is infinite", [1000], one, "not finite")
    made["infinite"] = refused("h is infinite", [0], struct.pack("<H", 0x7C00).hex(), "not finite")
    made["not_a_number"] = refused("h is no number", [0], struct.pack("<H", 0x7E00).hex(), "not finite")
    for name, content in made.items():
        (HERE / f"{name}.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
