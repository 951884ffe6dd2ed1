"""What a charter says about secure aggregation, what it excludes, and what a custodian reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from konsil.federation.strategies.choice import (
    AsymFedAvgChoice,
    Choice,
    FedBNChoice,
    KrumChoice,
    MedianChoice,
    ScaffoldChoice,
    TrimmedMeanChoice,
)
from konsil.trust.identity import PublicKeys
from konsil.trust.roster import SiteName

FEWEST = 3
"""With two updates in a sum, each of the two sites could compute the other's."""
SINGLE = (MedianChoice, TrimmedMeanChoice, KrumChoice)
PARTLY = (ScaffoldChoice, FedBNChoice, AsymFedAvgChoice)


class SecureAggregation(BaseModel):
    """`threshold` sites open a sum (None: more than half); `clip_range` bounds a weight's change; `keys`: who is who.

    `keys` is empty in the operator's file; the centre fills it in when it publishes the charter.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    threshold: Annotated[int, Field(ge=2)] | None = None
    clip_range: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] = 8.0
    keys: Mapping[SiteName, PublicKeys] = Field(default_factory=dict)

    def needed(self, sites: int) -> int:
        """How many of the charter's `sites` have to help to open a sum."""
        return sites // 2 + 1 if self.threshold is None else self.threshold

    def sentence(self, sites: int, quorum: int) -> str:
        """What a custodian reads."""
        spoken = ", ".join(f"{site} {keys.fingerprint}" for site, keys in self.keys.items())
        return (
            "Before it leaves, the change of the weights is masked. The centre can open the sum over at least "
            f"{quorum} sites, if {self.needed(sites)} of the {sites} sites help, and no single update. Numbers of "
            "cases, losses and scores stay readable for it. Before accepting, compare these fingerprints with the "
            f"other hospitals by phone, because who passes off other keys as theirs sees through the masks: "
            f"{spoken or 'the centre adds them when it publishes the charter'}."
        )

    def fits_sites(self, sites: tuple[str, ...], quorum: int) -> None:
        """ValueError unless sums are large enough, every begun run can be opened, and no two stories have t sites."""
        count, needed = len(sites), self.needed(len(sites))
        if count < FEWEST:
            raise ValueError(
                f"secure_aggregation: expected at least {FEWEST} sites, because of two each sees the other"
            )
        if 2 * needed <= count:
            raise ValueError(
                f"secure_aggregation.threshold: expected more than half of {count} sites, or two halves "
                "could be told different stories about one site"
            )
        if quorum < max(FEWEST, needed):
            raise ValueError(
                f"quorum.sites: expected at least {max(FEWEST, needed)}, because a sum under secure aggregation is "
                f"over at least {FEWEST} sites and takes {needed} to open"
            )
        if self.keys and set(self.keys) != set(sites):
            raise ValueError("secure_aggregation.keys: expected the keys of every site, and of no other")

    @staticmethod
    def fits_rule(rule: Choice, precision: str, compare_with_local: bool) -> None:
        """ValueError where something needs to see a single update, or lets a single model leave."""
        if isinstance(rule, SINGLE):
            raise ValueError(  # noqa: TRY004 - pydantic's
                f"strategy: expected a rule for sums under secure aggregation; {rule.name} compares updates"
            )
        if isinstance(rule, PARTLY):
            raise ValueError(  # noqa: TRY004 - pydantic's
                f"strategy: expected a rule whose updates hold all of the model's tensors and no others under "
                f"secure aggregation; under {rule.name} they do not"
            )
        if rule.clip_norm is not None:
            raise ValueError(
                "strategy.clip_norm: expected null, because under secure aggregation the centre cannot measure an "
                "update (privacy.clip_norm shortens it at the site)"
            )
        if precision != "float32":
            raise ValueError("precision: expected float32, because masked numbers cannot be written in 16 bits")
        if compare_with_local:
            raise ValueError("compare_with_local: expected false, because a local model would leave without a mask")
