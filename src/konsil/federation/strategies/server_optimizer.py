"""Optimisers at the centre: the mean change of a round is a step of gradient descent, taken by a server optimiser.

Reddi, Charles, Zaheer, Garrett, Rush, Konečný, Kumar, McMahan: Adaptive Federated Optimization. ICLR 2021, algorithm 2.
With x_t the global model before the round and x̄ the mean of the updates (FedAvg, weighted by cases):

    Δ_t = x̄ − x_t          the pseudo-gradient, pointing the way the sites went
    x_{t+1} = x_t + step(Δ_t, memory)

Each algorithm beside this file gives `step`. What it remembers (m, v) is a function of the models and updates of all
rounds before, so it can be made again from the bucket; it is computed in float64 and kept in the model's dtype, at
least float32, after every round, so that a centre that went on and one that was started again hold the same bits.
Memory: the model, the mean and the remembered arrays, in the model's dtype; float64 one tensor at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from konsil.errors import KonsilError
from konsil.federation.strategies.contribution import Contribution, Spec, Specs, Strategy
from konsil.federation.strategies.fedavg import FedAvg
from konsil.types import Tensors

Array: TypeAlias = "npt.NDArray[np.float64]"


class ServerOptimizer(Strategy):
    """FedAvg followed by a step at the centre. `memory` holds `<letter>/<tensor>`; empty before the first round."""

    remembers: ClassVar[tuple[str, ...]] = ("m",)

    def __init__(self, before: Tensors, memory: Tensors, *, learning_rate: float) -> None:
        super().__init__(memory)
        self.before, self.learning_rate = before, learning_rate

    def combine(self, contributions: list[Contribution], specs: Specs) -> Tensors:
        """The next global model; `memory` is then the one after this round. Whole numbers are FedAvg's.

        Raises what FedAvg raises, and KonsilError where the step leaves the range of the dtype.
        """
        mean = FedAvg().combine(contributions, specs)
        made: dict[str, npt.NDArray[Any]] = {}
        memory: dict[str, npt.NDArray[Any]] = {}
        for name, spec in specs.items():
            if not spec.is_averaged:
                made[name] = np.asarray(mean[name])
                continue
            x = np.asarray(self.before[name], np.float64)
            held = {letter: self._held(letter, name, spec) for letter in self.remembers}
            move, after = self.step(np.asarray(mean[name], np.float64) - x, held)
            made[name] = within(name, x + self.learning_rate * move, spec.dtype)
            for letter, array in after.items():
                memory[f"{letter}/{name}"] = within(name, array, memory_dtype(spec))
        self.memory = memory
        return made

    def step(self, change: Array, held: Mapping[str, Array]) -> tuple[Array, dict[str, Array]]:
        """The move for a pseudo-gradient Δ_t, before it is multiplied by the rate, and the memory after it."""
        raise NotImplementedError

    def begin(self, letter: str) -> float:
        """The value of a remembered array before the first round."""
        return 0.0

    def _held(self, letter: str, name: str, spec: Spec) -> Array:
        key = f"{letter}/{name}"
        return np.asarray(self.memory[key], np.float64) if self.memory else np.full(spec.shape, self.begin(letter))


def memory_dtype(spec: Spec) -> str:
    """In which dtype the memory of a tensor is kept: the tensor's own, at least float32."""
    return str(np.promote_types(spec.dtype, np.float32).name)


def memory_specs(specs: Specs, letters: tuple[str, ...]) -> dict[str, Spec]:
    """Names, shapes and dtypes of the memory of a model."""
    return {
        f"{letter}/{name}": Spec(spec.shape, memory_dtype(spec))
        for name, spec in specs.items()
        if spec.is_averaged
        for letter in letters
    }


def within(name: str, array: Array, dtype: str) -> npt.NDArray[Any]:
    """The array rounded to its dtype; KonsilError where it leaves the range."""
    with np.errstate(over="ignore"):
        cast = array.astype(dtype)
    if not np.isfinite(cast).all():
        raise KonsilError(
            f"The centre's step leaves the range of {dtype} in tensor {name}",
            hint="A smaller learning_rate of the strategy, or clip_norm, keeps it within",
        )
    return cast
