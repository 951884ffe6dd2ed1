"""The strategies a charter may name, each with its parameters and their bounds. Specification: docs/formats/charter.md.

A charter writes `"fedavg"`, or an object with a `name` and the parameters of that strategy; a bare name stands for its
defaults. Plain FedAvg is always written as the bare name, so that a charter has one spelling. Nothing is computed here:
`table.py` makes the rule from the choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

PLAIN: Literal["fedavg"] = "fedavg"
Rate = Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)]
Decay = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Length = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
Small = Annotated[float, Field(ge=1e-8, le=1, allow_inf_nan=False)]


class Choice(BaseModel):
    """A strategy and what all have in common: `clip_norm`, the longest change of one site, None = as it comes."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    has_memory: ClassVar[bool] = False
    """Whether the rule remembers something from round to round."""
    looks_back: ClassVar[bool] = False
    """Whether the rule looks at the global model of the round before."""
    needs: ClassVar[tuple[str, ...]] = ()
    """What a learner has to be able to do for it (konsil.learners.protocol, `abilities`)."""
    name: str
    clip_norm: Length | None = None

    @property
    def fewest(self) -> int:
        """The fewest updates with which the rule keeps its promise."""
        return 1

    @property
    def why(self) -> str:
        """Why it needs that many, as half a sentence."""
        return ""

    @property
    def what_leaves(self) -> str:
        """What a site sends or keeps beyond its weights, as a sentence for the custodian; "" = nothing."""
        return ""


class FedAvgChoice(Choice):
    """Mean weighted by training cases."""

    name: Literal["fedavg"] = PLAIN


class FedAvgMChoice(Choice):
    """FedAvg with momentum at the centre."""

    has_memory: ClassVar[bool] = True
    looks_back: ClassVar[bool] = True
    name: Literal["fedavgm"] = "fedavgm"
    learning_rate: Rate = 1.0
    momentum: Decay = 0.9


class FedAdamChoice(Choice):
    """Adam at the centre."""

    has_memory: ClassVar[bool] = True
    looks_back: ClassVar[bool] = True
    name: Literal["fedadam"] = "fedadam"
    learning_rate: Rate = 0.01
    beta_1: Decay = 0.9
    beta_2: Decay = 0.99
    tau: Small = 1e-3


class FedYogiChoice(FedAdamChoice):
    """Yogi at the centre."""

    name: Literal["fedyogi"] = "fedyogi"  # type: ignore[assignment]  # the same parameters under another name


class MedianChoice(Choice):
    """Coordinate-wise median."""

    name: Literal["median"] = "median"


class TrimmedMeanChoice(Choice):
    """Coordinate-wise mean without the `trim` smallest and the `trim` largest values."""

    name: Literal["trimmed_mean"] = "trimmed_mean"
    trim: int = Field(default=1, ge=1, le=500)

    @property
    def fewest(self) -> int:
        """One value has to be left."""
        return 2 * self.trim + 1

    @property
    def why(self) -> str:
        """The arithmetic in words."""
        return f"trimming {self.trim} on either side leaves nothing of fewer"


class KrumChoice(Choice):
    """The update nearest to its neighbours, where up to `faulty` sites may send anything."""

    name: Literal["krum"] = "krum"
    faulty: int = Field(default=1, ge=0, le=500)

    @property
    def fewest(self) -> int:
        """n ≥ 2f + 3."""
        return 2 * self.faulty + 3

    @property
    def why(self) -> str:
        """The paper's condition in words."""
        return f"with {self.faulty} faulty sites it needs n >= 2f + 3 updates"


class MultiKrumChoice(KrumChoice):
    """The mean of the `keep` best by Krum's score; None = all but `faulty`."""

    name: Literal["multi_krum"] = "multi_krum"  # type: ignore[assignment]  # a parameter more under another name
    keep: int | None = Field(default=None, ge=1, le=1000)

    @property
    def fewest(self) -> int:
        """Krum's condition, and enough updates that none of the faulty ones has to be kept."""
        return max(super().fewest, (self.keep or 1) + self.faulty)

    @property
    def why(self) -> str:
        """The conditions in words."""
        return f"{super().why} and at least keep + f"


class FedProxChoice(Choice):
    """FedAvg of sites that are held near the global model by a proximal term of weight `mu`."""

    needs: ClassVar[tuple[str, ...]] = ("steering",)
    name: Literal["fedprox"] = "fedprox"
    mu: Rate = 0.01


class ScaffoldChoice(Choice):
    """Control variates against drift: the gradients are corrected by what the other sites would have added."""

    looks_back: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("steering", "plain steps")
    name: Literal["scaffold"] = "scaffold"
    learning_rate: Rate = 1.0
    clip_norm: None = None

    @property
    def what_leaves(self) -> str:
        """The control variate."""
        return (
            "With them, encrypted for the centre, how the mean gradient of the round has changed since the round "
            "before (SCAFFOLD's control variate): as many numbers again as the model has weights."
        )


class FedBNChoice(Choice):
    """FedAvg of all but the normalisation layers, which stay at their site."""

    looks_back: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("norms",)
    name: Literal["fedbn"] = "fedbn"

    @property
    def what_leaves(self) -> str:
        """What stays."""
        return "The normalisation layers are not among these weights: they stay at the site."


class DittoChoice(Choice):
    """FedAvg, and at every site a second model of its own, held near the global one with weight `lam`."""

    needs: ClassVar[tuple[str, ...]] = ("steering", "second model")
    name: Literal["ditto"] = "ditto"
    lam: Rate = 0.1

    @property
    def what_leaves(self) -> str:
        """What stays, and what is told of it."""
        return (
            "A second model, trained for this site alone, stays here. Its scores on the held-out patients are sent "
            "like those of the others."
        )


class AsymFedAvgChoice(Choice):
    """FedAvg of the tensors that fit; `settings` gives sites with another plan their own settings of the learner."""

    looks_back: ClassVar[bool] = True
    name: Literal["asym_fedavg"] = "asym_fedavg"
    settings: Mapping[str, dict[str, Any]] = Field(default_factory=dict)

    @property
    def what_leaves(self) -> str:
        """What stays at a site with a plan of its own."""
        names = ", ".join(self.settings)
        return f"At {names}, weights that the other sites' network does not have stay at the site." if names else ""


CHOICES: tuple[type[Choice], ...] = (
    FedAvgChoice,
    FedAvgMChoice,
    FedAdamChoice,
    FedYogiChoice,
    MedianChoice,
    TrimmedMeanChoice,
    KrumChoice,
    MultiKrumChoice,
    FedProxChoice,
    ScaffoldChoice,
    FedBNChoice,
    DittoChoice,
    AsymFedAvgChoice,
)
NAMES = tuple(str(choice.model_fields["name"].default) for choice in CHOICES)


def spelled(value: Any) -> Any:
    """One spelling: a bare name becomes an object, FedAvg without parameters the bare name. ValueError otherwise."""
    if isinstance(value, Choice):
        value = value.model_dump()
    given = dict(value) if isinstance(value, Mapping) else {"name": value}
    if given.get("name") not in NAMES:
        raise ValueError(f"expected one of {', '.join(NAMES)}, got {str(given.get('name'))[:40]!r}")
    extra = {key for key, setting in given.items() if key not in ("name", "clip_norm") or setting is not None}
    return PLAIN if given["name"] == PLAIN and extra == {"name"} else given


def _tag(value: Any) -> str:
    if isinstance(value, str):
        return "plain"
    return str(value.get("name") if isinstance(value, Mapping) else value.name)


StrategyChoice: TypeAlias = Annotated[
    Annotated[Literal["fedavg"], Tag("plain")]
    | Annotated[FedAvgChoice, Tag("fedavg")]
    | Annotated[FedAvgMChoice, Tag("fedavgm")]
    | Annotated[FedAdamChoice, Tag("fedadam")]
    | Annotated[FedYogiChoice, Tag("fedyogi")]
    | Annotated[MedianChoice, Tag("median")]
    | Annotated[TrimmedMeanChoice, Tag("trimmed_mean")]
    | Annotated[KrumChoice, Tag("krum")]
    | Annotated[MultiKrumChoice, Tag("multi_krum")]
    | Annotated[FedProxChoice, Tag("fedprox")]
    | Annotated[ScaffoldChoice, Tag("scaffold")]
    | Annotated[FedBNChoice, Tag("fedbn")]
    | Annotated[DittoChoice, Tag("ditto")]
    | Annotated[AsymFedAvgChoice, Tag("asym_fedavg")],
    Discriminator(_tag),
    BeforeValidator(spelled),
]
"""The type of the charter's field."""
