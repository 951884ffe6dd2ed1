"""FedAvgM: FedAvg with momentum at the centre.

Hsu, Qi, Brown: Measuring the Effects of Non-Identical Data Distribution for Federated Visual Classification. 2019
(arXiv:1909.06335), section 4.3; with a server learning rate η as in Reddi et al., ICLR 2021:

    m_t = β m_{t−1} + Δ_t,   x_{t+1} = x_t + η m_t,   m_0 = 0

With β = 0 and η = 1 this is FedAvg.
"""

from __future__ import annotations

from collections.abc import Mapping

from konsil.federation.strategies.server_optimizer import Array, ServerOptimizer
from konsil.types import Tensors


class FedAvgM(ServerOptimizer):
    """Server momentum; `momentum` is β in [0, 1), `learning_rate` is η."""

    def __init__(self, before: Tensors, memory: Tensors, *, learning_rate: float, momentum: float) -> None:
        super().__init__(before, memory, learning_rate=learning_rate)
        self.momentum = momentum

    def step(self, change: Array, held: Mapping[str, Array]) -> tuple[Array, dict[str, Array]]:
        """m_t, which is also what is remembered."""
        m = self.momentum * held["m"] + change
        return m, {"m": m}
