"""Which patients train, which choose, which judge.

Patients are split, never cases: two sessions of one brain in training and test would make every test figure a lie.
The order of patients is their SHA-256 together with the seed, so it depends neither on file order nor on a library's
random generator, and the same seed gives the same split on every machine.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence

from konsil.errors import BadInput

SPLITS = ("train", "validation", "test")
UNLABELLED = "unlabelled"
DEFAULT_FRACTIONS = (0.6, 0.2, 0.2)


def split_patients(subjects: Iterable[str], *, seed: int, fractions: Sequence[float]) -> dict[str, str]:
    """Give every patient one of train, validation, test.

    Counts follow `fractions` (three numbers >= 0, sum 1) by largest remainder. From three patients on, every split
    with a fraction above 0 has at least one; two patients make train and test, one is train.
    """
    order = sorted(set(subjects), key=lambda subject: hashlib.sha256(f"{seed}:{subject}".encode()).hexdigest())
    counts = split_sizes(len(order), fractions)
    names = [name for name, count in zip(SPLITS, counts, strict=True) for _ in range(count)]
    return dict(zip(order, names, strict=True))


def split_sizes(patients: int, fractions: Sequence[float]) -> tuple[int, int, int]:
    """How many of `patients` go to train, validation and test; the three numbers sum to `patients`."""
    check_fractions(fractions)
    if patients < 3:
        return [(0, 0, 0), (1, 0, 0), (1, 0, 1)][patients]
    exact = [fraction * patients for fraction in fractions]
    counts = [math.floor(value + 1e-9) for value in exact]
    by_remainder = sorted(range(3), key=lambda i: (counts[i] - exact[i], -i))
    for i in by_remainder[: patients - sum(counts)]:
        counts[i] += 1
    for i, fraction in enumerate(fractions):
        if fraction > 0 and counts[i] == 0:
            counts[counts.index(max(counts))] -= 1
            counts[i] = 1
    return counts[0], counts[1], counts[2]


def check_fractions(fractions: Sequence[float]) -> None:
    """Raise `BadInput` unless there are three numbers >= 0 that sum to 1, the first above 0."""
    good = len(fractions) == 3 and all(math.isfinite(value) and value >= 0 for value in fractions)
    if not good or abs(sum(fractions) - 1) > 1e-6 or fractions[0] == 0:
        raise BadInput(
            "the fractions of the split are not usable",
            expected="three numbers from 0 to 1 that sum to 1, training above 0",
            got=str(tuple(fractions)),
            hint="The default is 0.6 0.2 0.2",
        )
