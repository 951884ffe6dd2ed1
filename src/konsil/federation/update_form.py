"""The form of an update under a charter: which of the global message's tensors it holds, and in which precision."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from konsil.federation import delta16
from konsil.federation.charter import Precision
from konsil.federation.secure.masked import masked_specs
from konsil.federation.strategies.contribution import Chunk, Specs, tensor_fault
from konsil.types import Tensors


@dataclass(frozen=True)
class UpdateForm:
    """`specs` are those of the global message; `stays` is never sent; `may_lack`: a site sends what fits its plan.

    `group`: how many sites mask their updates together; 0 = none does.
    """

    specs: Specs
    precision: Precision = "float32"
    stays: frozenset[str] = frozenset()
    may_lack: bool = False
    group: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether an update holds every tensor."""
        return not self.stays and not self.may_lack

    def held(self, announced: Specs) -> Specs:
        """The tensors of the model that an update with this table has to hold, in the model's order and dtypes."""
        return {
            name: spec
            for name, spec in self.specs.items()
            if name not in self.stays and (not self.may_lack or name in announced)
        }

    def fault(self, announced: Specs) -> str:
        """What is wrong with the announced tensors; "" = nothing."""
        held = self.held(announced)
        if not held:
            return "it holds none of the model's tensors"
        return tensor_fault(announced, self.on_the_wire(held))

    def on_the_wire(self, held: Specs) -> Specs:
        """What an update of these tensors looks like."""
        if self.group:
            return masked_specs(held, self.group)
        return delta16.written_specs(held) if self.precision == "delta16" else held

    def written(self, sent: Tensors, base: Tensors) -> Tensors:
        """What a site posts, in the model's order; `base` is the global message the round started from."""
        ordered = {name: sent[name] for name in self.specs if name in sent}
        return delta16.encode(ordered, base) if self.precision == "delta16" else ordered

    def read(self, chunks: Iterator[Chunk], announced: Specs, base: delta16.Part | None) -> Iterator[Chunk]:
        """The numbers of an update in the model's dtypes; `base` reads the global message, for differences."""
        return chunks if base is None else delta16.decoded(chunks, self.held(announced), base)
