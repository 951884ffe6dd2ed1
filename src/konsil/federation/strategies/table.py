"""From the charter's choice to the rule that does it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from konsil.federation.strategies.asym_fedavg import AsymFedAvg, KeepingSite, fitting
from konsil.federation.strategies.choice import (
    AsymFedAvgChoice,
    Choice,
    DittoChoice,
    FedAdamChoice,
    FedAvgChoice,
    FedAvgMChoice,
    FedBNChoice,
    FedProxChoice,
    FedYogiChoice,
    KrumChoice,
    MedianChoice,
    MultiKrumChoice,
    ScaffoldChoice,
    TrimmedMeanChoice,
)
from konsil.federation.strategies.contribution import Specs, Strategy
from konsil.federation.strategies.ditto import DittoSite
from konsil.federation.strategies.fedadam import FedAdam
from konsil.federation.strategies.fedavg import FedAvg
from konsil.federation.strategies.fedavgm import FedAvgM
from konsil.federation.strategies.fedbn import FedBNSite
from konsil.federation.strategies.fedprox import FedProxSite
from konsil.federation.strategies.fedyogi import FedYogi
from konsil.federation.strategies.krum import Krum
from konsil.federation.strategies.median import Median
from konsil.federation.strategies.norm_clipping import NormClipping
from konsil.federation.strategies.scaffold import Scaffold, ScaffoldSite
from konsil.federation.strategies.server_optimizer import ServerOptimizer, memory_specs
from konsil.federation.strategies.site_rule import SiteRule
from konsil.federation.strategies.trimmed_mean import TrimmedMean
from konsil.types import Tensors

OPTIMIZERS: dict[type[Choice], type[ServerOptimizer]] = {
    FedAvgMChoice: FedAvgM,
    FedAdamChoice: FedAdam,
    FedYogiChoice: FedYogi,
}


@dataclass(frozen=True)
class Ground:
    """What a rule may need beside the updates: the global model before, what it remembers, a folder for large files.

    `total`: training cases of all sites of the run, also of those whose update is not there.
    """

    before: Tensors = field(default_factory=dict)
    memory: Tensors = field(default_factory=dict)
    folder: Path | None = None
    total: int = 0


@dataclass(frozen=True)
class SiteGround:
    """What the site's half of a rule may need: the names of the normalisation layers, the site's whole first model.

    `norms` is asked for by FedBN, `first` by a site with a plan of its own (None: it trains the federation's).
    """

    norms: tuple[str, ...] = ()
    first: Tensors | None = None


def needs_model(choice: Choice) -> bool:
    """Whether the rule looks at the global model of the round before."""
    return choice.looks_back or choice.clip_norm is not None


def strategy_of(choice: Choice, ground: Ground) -> Strategy:
    """The rule for one round."""
    rule = _unclipped(choice, ground)
    return rule if choice.clip_norm is None else NormClipping(rule, ground.before, choice.clip_norm)


def memory_of(choice: Choice, specs: Specs) -> Specs:
    """Names, shapes and dtypes of what the rule remembers between rounds; none for most."""
    return memory_specs(specs, OPTIMIZERS[type(choice)].remembers) if choice.has_memory else {}


def _unclipped(choice: Choice, ground: Ground) -> Strategy:
    folder = ground.folder
    match choice:
        case MultiKrumChoice():
            return Krum(choice.faulty, choice.keep, folder)
        case KrumChoice():
            return Krum(choice.faulty, 1, folder)
        case TrimmedMeanChoice():
            return TrimmedMean(choice.trim, folder)
        case MedianChoice():
            return Median(folder)
        case FedBNChoice() | AsymFedAvgChoice():
            return AsymFedAvg(ground.before)
        case ScaffoldChoice():
            return Scaffold(ground.before, learning_rate=choice.learning_rate, total=ground.total)
        case FedAvgChoice() | FedProxChoice() | DittoChoice():
            return FedAvg()
    settings: dict[str, Any] = choice.model_dump(exclude={"name", "clip_norm"})
    return OPTIMIZERS[type(choice)](ground.before, ground.memory, **settings)


def site_rule_of(choice: Choice, ground: SiteGround, message: Tensors) -> SiteRule:
    """The site's half of the rule; `message` is any global message of the run."""
    match choice:
        case FedProxChoice():
            return FedProxSite(choice.mu)
        case ScaffoldChoice():
            return ScaffoldSite()
        case FedBNChoice():
            return FedBNSite(ground.norms)
        case DittoChoice():
            return DittoSite(choice.lam)
        case AsymFedAvgChoice() if ground.first is not None:
            return KeepingSite(set(ground.first) - fitting(ground.first, message), ground.first)
    return SiteRule()
