"""FedYogi: Yogi at the centre, which lets the second moment shrink only slowly.

Reddi et al.: Adaptive Federated Optimization. ICLR 2021, algorithm 2; FedAdam but for

    v_t = v_{t−1} − (1 − β₂) Δ_t² sign(v_{t−1} − Δ_t²)
"""

from __future__ import annotations

import numpy as np

from konsil.federation.strategies.fedadam import FedAdam
from konsil.federation.strategies.server_optimizer import Array


class FedYogi(FedAdam):
    """Yogi on the pseudo-gradient; parameters as in FedAdam."""

    def second_moment(self, v: Array, squared: Array) -> Array:
        """v_t from v_{t−1} and Δ_t²; stays above 0, because it shrinks by less than itself."""
        return np.asarray(v - (1 - self.beta_2) * squared * np.sign(v - squared))
