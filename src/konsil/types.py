"""Shapes that several rooms share.

`Tensors` are named arrays of one model: C-contiguous, float32 unless the learner says otherwise, in one fixed order
(the order of the mapping), each tensor once even where the network knows it under several names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:  # numpy costs a tenth of a second, which `import konsil` should not
    import numpy as np
    import numpy.typing as npt

Json: TypeAlias = dict[str, Any]
Tensors: TypeAlias = "Mapping[str, npt.NDArray[np.generic]]"


@dataclass(frozen=True)
class Steering:
    """What is added to the gradient of every local step, after clipping: `pull` · (w − anchor) + shift.

    Both hold parameters by name, in the shapes of the model; other names are ignored, and a parameter that is in
    neither is not steered. pull ≥ 0.
    """

    pull: float = 0.0
    anchor: Tensors = field(default_factory=dict)
    shift: Tensors = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What a batch step did: the cases that came through, and those set aside with one sentence each."""

    done: tuple[str, ...] = ()
    set_aside: Mapping[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 = every case came through, 2 = some were set aside, 1 = none came through."""
        if not self.done:
            return 1
        return 2 if self.set_aside else 0

    def as_json(self) -> Json:
        """The form that commands write with `--result` and operators hand to the next task."""
        return {"done": list(self.done), "set_aside": dict(self.set_aside)}
