"""A term added to the gradient of every optimizer step: `pull` · (w − anchor) + shift.

It is added when nnU-Net's optimizer is about to step, so after the gradients were unscaled and clipped, where weight
decay is added too. Steps that a gradient scaler leaves out are not counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from konsil.learners.nnunet import tensors
from konsil.types import Steering, Tensors


class Rates:
    """The sum of the learning rates over the steps really done."""

    def __init__(self) -> None:
        self.total = 0.0


@contextmanager
def steered(trainer: Any, steering: Steering | None) -> Iterator[Rates]:
    """While this is open, the trainer's steps are steered and their rates summed."""
    named = dict(tensors.plain(trainer.network).named_parameters())
    anchor = placed(named, steering.anchor) if steering is not None else {}
    shift = placed(named, steering.shift) if steering is not None else {}
    rates = Rates()

    @torch.no_grad()
    def before_step(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        rates.total += float(optimizer.param_groups[0]["lr"])
        for name, parameter in named.items():
            if parameter.grad is None:
                continue
            if steering is not None and name in anchor:
                parameter.grad.add_(parameter - anchor[name], alpha=steering.pull)
            if name in shift:
                parameter.grad.add_(shift[name])

    handle = trainer.optimizer.register_step_pre_hook(before_step)
    try:
        yield rates
    finally:
        handle.remove()


def placed(named: dict[str, torch.nn.Parameter], arrays: Tensors) -> dict[str, torch.Tensor]:
    """The arrays that belong to parameters, beside them in memory."""
    return {
        name: torch.tensor(arrays[name], dtype=parameter.dtype, device=parameter.device)
        for name, parameter in named.items()
        if name in arrays
    }
