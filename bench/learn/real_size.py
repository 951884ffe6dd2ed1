"""Phantoms as large as real heads, for benches whose seconds and memory depend on sizes: brains at 1 mm."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

from learn.cases import phantom

from konsil.cohort.adopt import Pair

SPLITS = ("train", "train", "validation", "test")
SEED = 50  # no other bench's patients


def real_size(made: Path, site: str) -> list[Pair]:
    """Four patients of one site's profile, T1w and FLAIR with their lesions, made at once in processes."""
    numbers = range(len(SPLITS))
    with ProcessPoolExecutor(len(SPLITS)) as pool:
        found = list(pool.map(phantom, *zip(*((made, site, SEED, number, 1.0) for number in numbers), strict=True)))
    return [replace(pair, split=split) for pair, split in zip(found, SPLITS, strict=True)]
