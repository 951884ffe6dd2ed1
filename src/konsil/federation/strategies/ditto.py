"""Ditto: the federation's model, and beside it one of the site's own.

Li, Hu, Beirami, Smith: Ditto: Fair and Robust Federated Learning Through Personalization. ICML 2021, algorithm 1. The
global model is FedAvg's. In the same round, as often as the site steps on the global model, it steps on its own v_k:

    v_k ← v_k − η (∇F_k(v_k) + λ (v_k − w^t)),   v_k = w^0 before the first round

with w^t the global model the round started from. λ = 0 would be training alone, large λ the global model. The own model
never leaves; the round costs the site twice the time. A site that missed rounds goes on from the v_k it has.
"""

from __future__ import annotations

from konsil.federation.strategies.site_rule import SiteRule, model_of
from konsil.types import Steering, Tensors


class DittoSite(SiteRule):
    """The second model; `lam` is λ > 0, `kept` is v_k."""

    def __init__(self, lam: float) -> None:
        self.lam = lam

    def second(self, message: Tensors, kept: Tensors) -> tuple[Tensors, Steering]:
        """v_k, and λ (v_k − w^t)."""
        model = model_of(message)
        return kept or model, Steering(pull=self.lam, anchor=model)
