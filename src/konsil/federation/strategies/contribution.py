"""What goes into one global model: the updates of the sites, as streams that are looked at once and trusted never.

Before any arithmetic the announced part is checked (`fault`): names, shapes, dtypes, weight, the model it started from.
While the numbers pass by, a `Reading` checks that they are the announced ones, complete, in order and finite.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from konsil.errors import BadMessage
from konsil.federation import divergence
from konsil.types import Json, Tensors

Chunk: TypeAlias = tuple[str, int, npt.NDArray[Any]]


@dataclass(frozen=True)
class Spec:
    """Shape and numpy dtype name of one tensor."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def is_averaged(self) -> bool:
        """Floating point numbers are averaged; integers and truth values have to be the same everywhere."""
        return np.dtype(self.dtype).kind == "f"


Specs: TypeAlias = Mapping[str, Spec]


@dataclass(frozen=True)
class Contribution:
    """One site's update: its weight (training cases, > 0) and a way to read its numbers from the beginning.

    `open()` gives (name, offset in elements, 1-D chunk) in any order of names, each tensor front to back. `names`:
    which tensors it holds, where a strategy lets a site keep some (None: all of the model's).
    """

    site: str
    weight: int
    open: Callable[[], Iterator[Chunk]]
    names: frozenset[str] | None = None

    def holds(self, name: str) -> bool:
        """Whether that tensor was sent."""
        return self.names is None or name in self.names


class Unusable(BadMessage):
    """The numbers of one site cannot be used; the caller leaves that site out and starts again."""

    def __init__(self, site: str, what: str, *, expected: str = "", got: str = "") -> None:
        self.site = site
        super().__init__(what, expected=expected, got=got)


class Strategy(ABC):
    """A rule that makes one model of many, made afresh for every round.

    After `combine`, `remarks` says in half a sentence what was done to a site's update other than to use it as it came,
    and `memory` holds what the rule has to be given in the next round.
    """

    def __init__(self, memory: Tensors | None = None) -> None:
        self.remarks: dict[str, str] = {}
        self.memory: Tensors = memory or {}

    @abstractmethod
    def combine(self, contributions: list[Contribution], specs: Specs) -> Tensors:
        """All contributions, in the order given; arrays shaped and typed as `specs` says.

        Raises Unusable naming the first site whose numbers fail a check, BadMessage for too few or two of one site.
        """


def total_weight(contributions: list[Contribution]) -> int:
    """The training cases of all updates. BadMessage unless there is one update per site, Unusable without weight."""
    sites = [contribution.site for contribution in contributions]
    if not sites or len(set(sites)) != len(sites):
        raise BadMessage("These updates cannot be averaged", expected="at least one, and one per site")
    for contribution in contributions:
        if contribution.weight < 1:
            raise Unusable(contribution.site, "the update has no weight", expected="at least one training case")
    return sum(contribution.weight for contribution in contributions)


def fault(facts: Json, *, base: str, most_cases: int) -> str:
    """Why an update cannot be used, judged by the facts of its manifest; "" = nothing wrong.

    `base` is the digest of the global model of the round before, `most_cases` the training cases the site announced in
    its fingerprint: an update may not weigh more than that.
    """
    cases = facts.get("cases")
    if not isinstance(cases, int) or isinstance(cases, bool) or not 0 < cases <= most_cases:
        return f"its weight is not usable; expected 1 to {most_cases} training cases, got {cases!r:.40}"
    if why := divergence.reason(facts):
        return why
    steps = facts.get("steps")
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
        return f"it does not come of training; expected 1 or more steps that were done, got {steps!r:.40}"
    if facts.get("base") != base:
        return "it did not start from the global model of the round before"
    return ""


def tensor_fault(announced: Specs, specs: Specs) -> str:
    """What differs between the announced tensors and those of the model; "" = nothing."""
    absent, surplus = [n for n in specs if n not in announced], [n for n in announced if n not in specs]
    if absent or surplus:
        return f"its tensor names differ from the model's: {len(absent)} are missing, {len(surplus)} are unknown"
    for name, spec in specs.items():
        if announced[name] != spec:
            came = announced[name]
            return f"tensor {name}: expected {spec.dtype} {spec.shape}, got {came.dtype} {came.shape}"
    return ""


class Reading:
    """Checks one site's chunks while they pass: known names, right type, front to back, complete, finite."""

    def __init__(self, contribution: Contribution, specs: Specs) -> None:
        self.contribution = contribution
        self.specs = {name: spec for name, spec in specs.items() if contribution.holds(name)}
        self.seen = dict.fromkeys(self.specs, 0)

    def chunks(self) -> Iterator[Chunk]:
        """The checked chunks. Raises Unusable at the first that is wrong, or at the end if some are missing."""
        site = self.contribution.site
        try:
            for name, offset, chunk in self.contribution.open():
                self._check(name, offset, chunk)
                yield name, offset, chunk
        except BadMessage as error:
            if isinstance(error, Unusable):
                raise
            raise Unusable(site, error.what, expected=error.expected, got=error.got) from error
        short = [name for name, spec in self.specs.items() if self.seen[name] != spec.size]
        if short:
            raise Unusable(site, f"the numbers of tensor {short[0]} end early")

    def _check(self, name: str, offset: int, chunk: npt.NDArray[Any]) -> None:
        site, spec = self.contribution.site, self.specs.get(name)
        if spec is None or chunk.ndim != 1 or chunk.dtype != np.dtype(spec.dtype):
            raise Unusable(site, "a part of the update is not one of the model's tensors")
        if offset != self.seen[name] or offset + chunk.size > spec.size:
            raise Unusable(site, f"the numbers of tensor {name} do not come front to back")
        if spec.is_averaged and not np.isfinite(chunk).all():
            raise Unusable(site, f"tensor {name} holds numbers that are not finite", expected="no NaN, no infinity")
        self.seen[name] += chunk.size
