"""From the charter's choice to the rule that does it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from konsil.federation.strategies.choice import (
    Choice,
    FedAdamChoice,
    FedAvgChoice,
    FedAvgMChoice,
    FedYogiChoice,
    KrumChoice,
    MedianChoice,
    MultiKrumChoice,
    TrimmedMeanChoice,
)
from konsil.federation.strategies.contribution import Specs, Strategy
from konsil.federation.strategies.fedadam import FedAdam
from konsil.federation.strategies.fedavg import FedAvg
from konsil.federation.strategies.fedavgm import FedAvgM
from konsil.federation.strategies.fedyogi import FedYogi
from konsil.federation.strategies.krum import Krum
from konsil.federation.strategies.median import Median
from konsil.federation.strategies.norm_clipping import NormClipping
from konsil.federation.strategies.server_optimizer import ServerOptimizer, memory_specs
from konsil.federation.strategies.trimmed_mean import TrimmedMean
from konsil.types import Tensors

OPTIMIZERS: dict[type[Choice], type[ServerOptimizer]] = {
    FedAvgMChoice: FedAvgM,
    FedAdamChoice: FedAdam,
    FedYogiChoice: FedYogi,
}


@dataclass(frozen=True)
class Ground:
    """What a rule may need beside the updates: the global model before, what it remembers, a folder for large files."""

    before: Tensors = field(default_factory=dict)
    memory: Tensors = field(default_factory=dict)
    folder: Path | None = None


def needs_model(choice: Choice) -> bool:
    """Whether the rule looks at the global model of the round before."""
    return choice.has_memory or choice.clip_norm is not None


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
        case FedAvgChoice():
            return FedAvg()
    settings: dict[str, Any] = choice.model_dump(exclude={"name", "clip_norm"})
    return OPTIMIZERS[type(choice)](ground.before, ground.memory, **settings)
