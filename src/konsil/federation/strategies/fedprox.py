"""FedProx: every site is held near the global model while it trains.

Li, Sahu, Zaheer, Sanjabi, Talwalkar, Smith: Federated Optimization in Heterogeneous Networks. MLSys 2020, equation 2:

    min_w  h_k(w; w^t) = F_k(w) + μ/2 ‖w − w^t‖²        so  ∇h_k = ∇F_k(w) + μ (w − w^t)

w^t is the global model the round starts from; the centre averages as in FedAvg. With μ = 0 this would be FedAvg. The
term is added to the gradient after the learner's own gradient clipping, like its weight decay.
"""

from __future__ import annotations

from konsil.federation.strategies.site_rule import SiteRule, model_of
from konsil.types import Steering, Tensors


class FedProxSite(SiteRule):
    """The proximal term; `mu` is μ > 0."""

    def __init__(self, mu: float) -> None:
        self.mu = mu

    def steering(self, message: Tensors, kept: Tensors) -> Steering:
        """μ (w − w^t)."""
        return Steering(pull=self.mu, anchor=model_of(message))
