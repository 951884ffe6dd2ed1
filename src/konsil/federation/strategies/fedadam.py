"""FedAdam: Adam at the centre.

Reddi et al.: Adaptive Federated Optimization. ICLR 2021, algorithm 2 (without bias correction, as there):

    m_t = β₁ m_{t−1} + (1 − β₁) Δ_t
    v_t = β₂ v_{t−1} + (1 − β₂) Δ_t²
    x_{t+1} = x_t + η m_t / (√v_t + τ),   m_0 = 0,  v_0 = τ²

So a weight moves by at most about η a round, however large the updates are. Batch norm's running variances may become
negative under such a step: a network with them should be trained with FedAvg.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from konsil.federation.strategies.server_optimizer import Array, ServerOptimizer
from konsil.types import Tensors


class FedAdam(ServerOptimizer):
    """Adam on the pseudo-gradient; β₁ and β₂ in [0, 1), τ > 0 the degree of adaptivity."""

    remembers: ClassVar[tuple[str, ...]] = ("m", "v")

    def __init__(
        self, before: Tensors, memory: Tensors, *, learning_rate: float, beta_1: float, beta_2: float, tau: float
    ) -> None:
        super().__init__(before, memory, learning_rate=learning_rate)
        self.beta_1, self.beta_2, self.tau = beta_1, beta_2, tau

    def step(self, change: Array, held: Mapping[str, Array]) -> tuple[Array, dict[str, Array]]:
        """m_t / (√v_t + τ)."""
        m = self.beta_1 * held["m"] + (1 - self.beta_1) * change
        v = self.second_moment(held["v"], np.square(change))
        return m / (np.sqrt(v) + self.tau), {"m": m, "v": v}

    def second_moment(self, v: Array, squared: Array) -> Array:
        """v_t from v_{t−1} and Δ_t²."""
        return self.beta_2 * v + (1 - self.beta_2) * squared

    def begin(self, letter: str) -> float:
        """v_0 = τ², m_0 = 0."""
        return self.tau**2 if letter == "v" else 0.0
