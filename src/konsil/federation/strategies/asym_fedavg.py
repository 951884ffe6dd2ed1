"""AsymFedAvg: average what fits, where sites have networks of different plans.

Skorupko et al.: Federated nnU-Net for Privacy-Preserving Medical Image Segmentation (FednnU-Net). 2025
(arXiv:2503.02549), asymmetric federated averaging. A tensor fits if the global model has one of the same name, shape
and dtype. A site hands in its tensors that fit and keeps the others:

    w[j] = Σ_{k ∈ S_j} n_k w_k[j] / Σ_{k ∈ S_j} n_k,   S_j = the sites that sent tensor j

A tensor that nobody sent stays what it was. FedBN is the same rule with the normalisation layers for what is kept.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from konsil.errors import BadMessage
from konsil.federation.strategies.contribution import Contribution, Specs, Strategy
from konsil.federation.strategies.fedavg import FedAvg
from konsil.federation.strategies.site_rule import SiteRule, model_of
from konsil.types import Tensors


class AsymFedAvg(Strategy):
    """FedAvg tensor by tensor over the sites that sent it; `before` is the global model of the round before."""

    def __init__(self, before: Tensors) -> None:
        super().__init__()
        self.before = before

    def combine(self, contributions: list[Contribution], specs: Specs) -> Tensors:
        """Average in one pass. Raises Unusable, BadMessage."""
        sent = {name: spec for name, spec in specs.items() if any(one.holds(name) for one in contributions)}
        means = FedAvg().combine(contributions, sent)
        return {name: means[name] if name in means else np.asarray(self.before[name]) for name in specs}


class KeepingSite(SiteRule):
    """Tensors named in `own` stay at the site; `first` is the site's whole model before it has trained.

    `first` None: the own tensors are in the global model too, as first weights that no round changes.
    """

    def __init__(self, own: Collection[str], first: Tensors | None = None) -> None:
        self.own, self.first = frozenset(own), first

    def start(self, message: Tensors, kept: Tensors) -> Tensors:
        """Global where it is shared, own where it is not."""
        model = model_of(message)
        first = model if self.first is None else self.first
        return {name: kept.get(name, first[name]) if name in self.own else model[name] for name in first}

    def hand_in(self, message: Tensors, kept: Tensors, trained: Tensors, rates: float) -> tuple[Tensors, Tensors]:
        """Send what is shared, keep the rest."""
        sent = {name: array for name, array in trained.items() if name not in self.own}
        return sent, {name: array for name, array in trained.items() if name in self.own}


def fitting(own: Tensors, message: Tensors) -> frozenset[str]:
    """Names of a site's tensors that the global model has in the same shape and dtype. BadMessage if there are none."""
    model = model_of(message)
    names = frozenset(
        name
        for name, array in own.items()
        if name in model and (model[name].shape, model[name].dtype) == (array.shape, array.dtype)
    )
    if not names:
        raise BadMessage("This site's plan has no tensor in common with the federation's", expected="at least one")
    return names
