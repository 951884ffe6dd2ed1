"""The model that is exchanged: nnU-Net's default 3d_fullres network, 31.2 M float32 in 108 tensors, 124.8 MB.

Six stages of 32 to 320 features, two convolutions each, instance norm, deep supervision, two channels, two classes.
Random numbers, so nothing can be compressed away. Nothing is trained: site i adds a known constant to what it gets, so
the global model after any number of rounds is known beforehand. numpy only: every peer's environment has it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

FEATURES = (32, 64, 128, 256, 320, 320)
SCALE = "BENCH_SCALE"  # environment: below 1 shrinks every tensor's first axis, for a smoke test
State = dict[str, npt.NDArray[np.float32]]
Shapes = list[tuple[str, tuple[int, ...]]]


def shapes(channels: int = 2, classes: int = 2) -> Shapes:
    """Names and shapes in the order of the network."""
    out: Shapes = []

    def block(name: str, before: int, after: int) -> None:
        out.append((f"{name}.conv.weight", (after, before, 3, 3, 3)))
        out.extend((f"{name}.{part}", (after,)) for part in ("conv.bias", "norm.weight", "norm.bias"))

    before = channels
    for stage, features in enumerate(FEATURES):
        block(f"encoder.stages.{stage}.0.convs.0", before, features)
        block(f"encoder.stages.{stage}.0.convs.1", features, features)
        before = features
    for stage, (below, features) in enumerate(zip(FEATURES[:0:-1], FEATURES[-2::-1], strict=True)):
        out.append((f"decoder.transpconvs.{stage}.weight", (below, features, 2, 2, 2)))
        out.append((f"decoder.transpconvs.{stage}.bias", (features,)))
        block(f"decoder.stages.{stage}.convs.0", 2 * features, features)
        block(f"decoder.stages.{stage}.convs.1", features, features)
        out.append((f"decoder.seg_layers.{stage}.weight", (classes, features, 1, 1, 1)))
        out.append((f"decoder.seg_layers.{stage}.bias", (classes,)))
    return out


def first_weights() -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """The first weights, tensor by tensor: the same on every machine."""
    scale, draw = float(os.environ.get(SCALE, "1")), np.random.default_rng(0)
    for name, (first, *others) in shapes():
        yield name, draw.standard_normal((max(1, int(first * scale)), *others), dtype=np.float32)


def make_state() -> State:
    """The first weights, all at once."""
    return dict(first_weights())


def size_of(scale: float) -> int:
    """Bytes of the model."""
    return sum(4 * int(np.prod([max(1, int(first * scale)), *others])) for _, (first, *others) in shapes())


def delta_for(site: int) -> np.float32:
    """What site 0, 1, … adds in every round."""
    return np.float32((site + 1) * 1e-3)


def largest_error(weights: State, sites: int, rounds: int) -> float:
    """The largest deviation from what must have come out; float32 leaves about 1e-6."""
    shift = rounds * sum((site + 1) * 1e-3 for site in range(sites)) / sites
    return max(float(np.abs(weights[name] - first - shift).max()) for name, first in first_weights())
