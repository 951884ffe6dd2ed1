"""SCAFFOLD: control variates take the drift out of local steps.

Karimireddy, Kale, Mohri, Reddi, Stich, Suresh: SCAFFOLD: Stochastic Controlled Averaging for Federated Learning.
ICML 2020, algorithm 1 with option II. With x the global model, c the global control variate, c_i the site's:

    site     y ← y − η (g(y) − c_i + c)          K steps from y = x
             c_i⁺ = c_i − c + (x − y) / (K η)    option II; here Σ η over the steps really done, as the rate may change
    centre   x ← x + η_g Σ_{i∈S} n_i (y_i − x) / Σ_{i∈S} n_i
             c ← c + Σ_{i∈S} n_i (c_i⁺ − c_i) / Σ_{all i} n_i

The paper counts every site once; we weigh by training cases n_i, as FedAvg does, so that c = Σ n_i c_i / Σ n_i always
holds; with equal cases it is the paper's |S|/N. All controls begin as zeros. Both messages carry `control/<tensor>` for
every floating tensor: c on the way down, c_i⁺ − c_i on the way up, so both are twice as large. A site goes on from the
c_i of its last update that was averaged. Option II needs plain gradient steps: with momentum (x − y) / Σ η is no
gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from konsil.federation.strategies.contribution import Contribution, Specs, Strategy
from konsil.federation.strategies.fedavg import FedAvg
from konsil.federation.strategies.server_optimizer import within
from konsil.federation.strategies.site_rule import CONTROL, SiteRule, model_of
from konsil.types import Steering, Tensors


class Scaffold(Strategy):
    """The centre's half. `before` is the message of the round before, `total` the training cases of all sites."""

    def __init__(self, before: Tensors, *, learning_rate: float, total: int) -> None:
        super().__init__()
        self.before, self.learning_rate, self.total = before, learning_rate, total

    def combine(self, contributions: list[Contribution], specs: Specs) -> Tensors:
        """The next model and control variate. Raises what FedAvg raises, KonsilError beyond the range of the dtype."""
        means = FedAvg().combine(contributions, specs)
        share = sum(contribution.weight for contribution in contributions) / self.total
        made: dict[str, npt.NDArray[np.generic]] = {}
        for name, spec in specs.items():
            mean, before = means[name], self.before[name]
            if name.startswith(CONTROL):
                made[name] = within(name, before.astype(np.float64) + share * mean.astype(np.float64), spec.dtype)
            elif self.learning_rate == 1 or not spec.is_averaged:
                made[name] = mean
            else:
                change = mean.astype(np.float64) - before.astype(np.float64)
                made[name] = within(name, before.astype(np.float64) + self.learning_rate * change, spec.dtype)
        return made


class ScaffoldSite(SiteRule):
    """The site's half; `kept` is c_i as `control/<tensor>`, float32."""

    def steering(self, message: Tensors, kept: Tensors) -> Steering:
        """c − c_i."""
        shift = {name.removeprefix(CONTROL): c - kept.get(name, np.zeros_like(c)) for name, c in controls(message)}
        return Steering(shift=shift)

    def hand_in(self, message: Tensors, kept: Tensors, trained: Tensors, rates: float) -> tuple[Tensors, Tensors]:
        """y_i with c_i⁺ − c_i, and c_i⁺ to keep."""
        after: dict[str, npt.NDArray[Any]] = {}
        change: dict[str, npt.NDArray[Any]] = {}
        for name, c in controls(message):
            own, tensor = np.asarray(kept.get(name, np.zeros_like(c))), name.removeprefix(CONTROL)
            x, y = message[tensor].astype(np.float64), trained[tensor].astype(np.float64)
            after[name] = (own.astype(np.float64) - c + (x - y) / rates).astype(c.dtype)
            change[name] = after[name] - own
        return {**trained, **change}, after


def controls(message: Tensors) -> list[tuple[str, npt.NDArray[Any]]]:
    """The control variate in a message, by its name there."""
    return [(name, array) for name, array in message.items() if name.startswith(CONTROL)]


def with_controls(model: Tensors) -> Tensors:
    """The first global message: the first weights with a control variate of zeros for every floating tensor."""
    zeros = {f"{CONTROL}{name}": np.zeros_like(a) for name, a in model_of(model).items() if a.dtype.kind == "f"}
    return {**model, **zeros}
