"""What a site keeps from one round to the next: the optimizer's momentum, and for a training alone the weights too.

`<home>/runs/<run>/nnunet/<chain>/0003.safetensors` is the state after round 3. The chains are "federated" and "alone".
The last two rounds are kept: a process that was killed after round r was kept but before its update was sent trains
round r again, from the state after round r - 1, and makes the same update. The files never leave the site.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from konsil.files import replacing
from konsil.learners.nnunet import tensors
from konsil.types import Json, Tensors

MOMENTUM, WEIGHTS = "momentum/", "weights/"
KEPT_ROUNDS = 2


@dataclass(frozen=True)
class Keepsake:
    """The state after `round`: momentum by parameter, weights (alone only), the gradient scaler (GPU only)."""

    round: int
    momentum: dict[str, torch.Tensor]
    weights: Tensors
    scaler: Json


def take(trainer: Any, number: int) -> Keepsake:
    """Copy the trainer's momentum and the state of its gradient scaler after round `number`."""
    state = trainer.optimizer.state
    momentum = {
        name: state[parameter]["momentum_buffer"].detach().to("cpu", copy=True)
        for name, parameter in tensors.plain(trainer.network).named_parameters()
        if state.get(parameter, {}).get("momentum_buffer") is not None
    }
    scaler = trainer.grad_scaler.state_dict() if trainer.grad_scaler is not None else {}
    return Keepsake(number, momentum, {}, scaler)


def put(trainer: Any, kept: Keepsake | None) -> None:
    """Give the trainer this momentum and gradient scaler, or none and a new one."""
    trainer.optimizer.state.clear()
    if trainer.grad_scaler is not None:
        trainer.grad_scaler = torch.GradScaler(trainer.device.type)  # as nnU-Net makes it
    if kept is None:
        return
    for name, parameter in tensors.plain(trainer.network).named_parameters():
        if name in kept.momentum:
            buffer = kept.momentum[name].to(parameter.device, copy=True)
            trainer.optimizer.state[parameter]["momentum_buffer"] = buffer
    if trainer.grad_scaler is not None and kept.scaler:
        trainer.grad_scaler.load_state_dict(kept.scaler)


def with_momentum(kept: Keepsake | None, momentum: Tensors) -> Keepsake:
    """What was kept with another momentum, by the names of the parameters, in place of its own."""
    given = {name: torch.tensor(array) for name, array in momentum.items()}
    return replace(kept, momentum=given) if kept is not None else Keepsake(0, given, {}, {})


def save(folder: Path, kept: Keepsake, recipe: str, *, weights: Tensors | None = None) -> None:
    """Write the state after a round, whole or not at all, and forget all but the last two.

    What was kept of later rounds is forgotten first: a run that goes on from an earlier round has left them behind.
    """
    content = {MOMENTUM + name: tensor for name, tensor in kept.momentum.items()}
    content |= {WEIGHTS + name: torch.from_numpy(array) for name, array in (weights or {}).items()}
    with replacing(folder / f"{kept.round:04d}.safetensors") as part:
        save_file(content, part, metadata={"recipe": recipe, "scaler": json.dumps(kept.scaler)})
    files = sorted(folder.glob("[0-9]*.safetensors"))
    behind = [file for file in files if int(file.stem) > kept.round]
    for old in behind + files[: len(files) - len(behind)][:-KEPT_ROUNDS]:
        old.unlink()


def load(folder: Path, recipe: str, *, before: int) -> Keepsake | None:
    """The latest state of this recipe from a round before `before`; None if there is none."""
    for file in sorted(folder.glob("[0-9]*.safetensors"), reverse=True):
        if int(file.stem) < before and (kept := read(file, recipe)) is not None:
            return kept
    return None


def read(file: Path, recipe: str) -> Keepsake | None:
    """One file's state, or None if it belongs to another recipe or cannot be read."""
    try:
        with safe_open(file, framework="pt") as stream:
            metadata = stream.metadata() or {}
            if metadata.get("recipe") != recipe:
                return None
            content = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118  not a dict
    except (OSError, SafetensorError):
        return None
    momentum = {name.removeprefix(MOMENTUM): t for name, t in content.items() if name.startswith(MOMENTUM)}
    weights = {name.removeprefix(WEIGHTS): t.numpy() for name, t in content.items() if name.startswith(WEIGHTS)}
    return Keepsake(int(file.stem), momentum, weights, json.loads(metadata.get("scaler", "{}")))
