"""The charter: who trains what together, and by which rules. Specification: docs/formats/charter.md.

The centre writes it once; every custodian accepts or refuses it as a whole. The defaults are the paper's: nnU-Net
3d_fullres on T1w and FLAIR, 50 rounds, averaging weighted by training cases. Times are seconds on the store's clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator, model_validator

from konsil.errors import BadSetting
from konsil.federation.divergence import Divergence
from konsil.federation.fine_tuning import FineTuning
from konsil.federation.privacy import Privacy
from konsil.federation.secure.terms import SecureAggregation
from konsil.federation.strategies.choice import (
    PLAIN,
    AsymFedAvgChoice,
    Choice,
    FedAvgChoice,
    ScaffoldChoice,
    StrategyChoice,
)
from konsil.federation.what_leaves import what_leaves
from konsil.federation.workflow import Offer
from konsil.files import read_json
from konsil.trust.identity import PublicKeys
from konsil.trust.roster import CENTRE, SiteName
from konsil.types import Json

FORMAT: Literal["konsil.charter/1"] = "konsil.charter/1"
DAY_S = 86400.0

RunName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{2,40}$")]
Line = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\r\n]*$")]
Word = Annotated[str, StringConstraints(min_length=1, max_length=60, pattern=r"^[^\r\n]*$")]
Precision = Literal["float32", "delta16"]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Part(BaseModel):
    """A part of a charter: unknown fields are refused, nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LearnerChoice(Part):
    """Which learner trains, with which settings; the learner checks its settings itself."""

    name: Word = "nnunet"
    settings: Json = Field(default_factory=dict)


class DataRequest(Part):
    """What every case must have: `channels` in input order, `labels` as name → value in the mask."""

    name: Word = "ms"
    channels: tuple[Word, ...] = ("T1w", "FLAIR")
    labels: Mapping[Word, int] = Field(default_factory=lambda: {"background": 0, "lesion": 1})

    @field_validator("channels")
    @classmethod
    def channels_differ(cls, channels: tuple[str, ...]) -> tuple[str, ...]:
        """At least one channel, each once."""
        if not channels or len(set(channels)) != len(channels):
            raise ValueError("expected at least one channel, each once")
        return channels

    @field_validator("labels")
    @classmethod
    def labels_are_usable(cls, labels: Mapping[str, int]) -> Mapping[str, int]:
        """Background is 0, the other labels are 1, 2 … without a gap, as in a frozen cohort."""
        values = sorted(labels.values())
        if labels.get("background") != 0 or len(values) < 2 or values != list(range(len(values))):
            raise ValueError("expected background = 0 and the other labels 1, 2 … without a gap")
        return labels


class Quorum(Part):
    """What makes a round: fewest sites, smallest share of all training cases, sites that must be among them."""

    sites: int = Field(default=2, ge=1)
    share_of_cases: float = Field(default=0.5, ge=0, le=1)
    required: tuple[SiteName, ...] = ()


class Deadlines(Part):
    """How long each part may take, in seconds on the store's clock; None: as sites need (konsil.federation.pace)."""

    answer_s: Seconds = 7 * DAY_S
    fingerprint_s: Seconds = 2 * DAY_S
    prepare_s: Seconds = DAY_S
    round_s: Seconds | None = None
    baseline_s: Seconds = 7 * DAY_S
    evaluation_s: Seconds = 2 * DAY_S


class BestRound(Part):
    """By which validation metric rounds are compared (None: as konsil.federation.progress says), and the result."""

    metric: Word | None = None
    release: Literal["last", "best"] = "last"


class EarlyStop(Part):
    """Training ends when `patience` rounds brought no gain of more than `least_gain` over the best."""

    patience: int = Field(ge=1, le=1000)
    least_gain: float = Field(default=0.0, ge=0, allow_inf_nan=False)


class Start(Part):
    """Given weights to start from: a model at the centre by name and the SHA-256 of its `model.safetensors`.

    Channels are told apart by name. What the model does not know starts at 0 ("zero": at first it computes as before),
    at the mean of its channels ("mean"), or drawn by the seed like a new network ("drawn"). Tensors of the planned
    network that the model has not in this shape are refused, or drawn by the seed.
    """

    model: RunName
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    new_channels: Literal["zero", "mean", "drawn"] = "zero"
    other_tensors: Literal["refused", "drawn"] = Field(default="refused", exclude_if=lambda value: value == "refused")

    @property
    def sentence(self) -> str:
        """What the custodian reads."""
        given = f"The first weights are those of the model {self.model} (SHA-256 {self.sha256[:12]}…), not drawn ones."
        return given if self.other_tensors == "refused" else f"{given} What of it does not fit the plan is drawn."


def _is_default(value: object) -> bool:
    """Fields that came later are written only where they say something, so that earlier readers read what they can."""
    return value in (0, None, BestRound(), Divergence())


class Charter(Part):
    """`konsil.charter/1`. `sites` is the charter order, in which sums are done and tables are written."""

    format: Literal["konsil.charter/1"] = FORMAT
    run: RunName
    title: Line = ""
    sites: tuple[SiteName, ...] = Field(min_length=2)
    learner: LearnerChoice = Field(default_factory=LearnerChoice)
    workflow: Offer | None = Field(default=None, exclude_if=lambda value: value is None)
    data: DataRequest = Field(default_factory=DataRequest)
    rounds: int = Field(default=50, ge=1, le=1000)
    extra_rounds: int = Field(default=0, ge=0, le=1000, exclude_if=_is_default)
    best_round: BestRound = Field(default_factory=BestRound, exclude_if=_is_default)
    early_stop: EarlyStop | None = Field(default=None, exclude_if=_is_default)
    divergence: Divergence = Field(default_factory=Divergence, exclude_if=_is_default)
    strategy: StrategyChoice = PLAIN
    precision: Precision = Field(default="float32", exclude_if=lambda value: value == "float32")
    privacy: Privacy | None = Field(default=None, exclude_if=lambda value: value is None)
    secure_aggregation: SecureAggregation | None = Field(default=None, exclude_if=lambda value: value is None)
    fine_tune: FineTuning | None = Field(default=None, exclude_if=lambda value: value is None)
    start: Start | None = Field(default=None, exclude_if=lambda value: value is None)
    quorum: Quorum = Field(default_factory=Quorum)
    deadlines: Deadlines = Field(default_factory=Deadlines)
    compare_with_local: bool = True
    seed: int = Field(default=0, ge=0, lt=2**31)

    @model_validator(mode="after")
    def names_agree(self) -> Charter:
        """Every site once, none called like the centre, and a quorum that these sites can reach."""
        names = {name.lower() for name in self.sites}  # buckets are called so
        if len(names) != len(self.sites) or CENTRE in names:
            raise ValueError(f"sites: expected every site once (also in lower case) and none called {CENTRE}")
        if self.quorum.sites > len(self.sites):
            raise ValueError(f"quorum.sites: expected at most {len(self.sites)}, the number of sites")
        strangers = [name for name in self.quorum.required if name not in self.sites]
        if strangers:
            raise ValueError(f"quorum.required: expected names from sites, got {', '.join(strangers)}")
        return self

    @model_validator(mode="after")
    def quorum_bears_strategy(self) -> Charter:
        """No round may close with fewer updates than the strategy needs."""
        rule = self.rule
        if len(self.sites) < rule.fewest:
            raise ValueError(f"strategy: expected a rule for {len(self.sites)} sites; for {rule.name}, {rule.why}")
        if self.quorum.sites < rule.fewest:
            raise ValueError(f"quorum.sites: expected at least {rule.fewest}, because for {rule.name}, {rule.why}")
        return self

    @model_validator(mode="after")
    def tuned_models_are_tested(self) -> Charter:
        """Only the comparison with local models lets a site's own model be tested elsewhere."""
        if self.fine_tune is not None and not self.compare_with_local:
            raise ValueError("fine_tune: expected null without compare_with_local, the consent to test at all sites")
        return self

    @model_validator(mode="after")
    def own_plans_belong(self) -> Charter:
        """Own plans are for sites of the charter, and their local models fit nowhere else."""
        own = self.own_settings
        if strangers := [name for name in own if name not in self.sites]:
            raise ValueError(f"strategy.settings: expected names from sites, got {', '.join(strangers)}"[:200])
        if own and self.compare_with_local:
            raise ValueError("compare_with_local: expected false, because a model of another plan runs nowhere else")
        return self

    @model_validator(mode="after")
    def privacy_has_no_hole(self) -> Charter:
        """Nothing that is trained leaves beside the noised update."""
        if self.privacy is None:
            return self
        if self.compare_with_local:
            raise ValueError("compare_with_local: expected false, because a local model would leave without noise")
        if isinstance(self.rule, ScaffoldChoice):
            raise ValueError("privacy: expected null under scaffold, whose controls would leave too")  # noqa: TRY004
        return self

    @model_validator(mode="after")
    def sums_are_enough(self) -> Charter:
        """Under secure aggregation, nothing needs or shows a single update, and sums can be opened."""
        if self.secure_aggregation is not None:
            self.secure_aggregation.fits_rule(self.rule, self.precision, self.compare_with_local)
            self.secure_aggregation.fits_sites(self.sites, self.quorum.sites)
        return self

    @property
    def secure_needed(self) -> int:
        """How many sites open a sum under secure aggregation; 0 without it."""
        return 0 if self.secure_aggregation is None else self.secure_aggregation.needed(len(self.sites))

    def with_keys(self, keys: Mapping[str, PublicKeys]) -> Charter:
        """The charter as it is published: under secure aggregation it names the keys of its sites."""
        if self.secure_aggregation is None:
            return self
        named = self.secure_aggregation.model_copy(update={"keys": {site: keys[site] for site in self.sites}})
        return self.model_copy(update={"secure_aggregation": named})

    @property
    def own_settings(self) -> Mapping[str, Json]:
        """Settings of the learner that single sites have for themselves."""
        return self.rule.settings if isinstance(self.rule, AsymFedAvgChoice) else {}

    def seen_by(self, site: str) -> Charter:
        """The charter with this site's own settings of the learner in place of the common ones."""
        if site not in self.own_settings:
            return self
        settings = {**self.learner.settings, **self.own_settings[site]}
        return self.model_copy(update={"learner": LearnerChoice(name=self.learner.name, settings=settings)})

    @property
    def rule(self) -> Choice:
        """The strategy with its parameters, also where the charter only gives a name."""
        return FedAvgChoice() if isinstance(self.strategy, str) else self.strategy

    def lasting(self, end: int) -> Charter:
        """The charter as a learner needs it for rounds up to `end`: `extra_rounds` are those that were used."""
        return self.model_copy(update={"extra_rounds": max(0, end - self.rounds)})

    def what_leaves_the_site(self) -> list[str]:
        """The sentences a custodian reads before deciding, one per kind of message a site sends."""
        return what_leaves(self)


def parse_charter(content: Json) -> Charter:
    """Check `content` against the specification; BadSetting names the first field that is wrong."""
    try:
        return Charter.model_validate(content)
    except ValidationError as error:
        raise _refusal(error.errors()[0]) from error


def read_charter(path: Path) -> Charter:
    """Read a charter file (JSON)."""
    return parse_charter(read_json(path))


def _refusal(problem: Any) -> BadSetting:
    """One sentence that names the field: what was expected, what came."""
    field = ".".join(str(part) for part in problem["loc"])
    expected = str(problem["msg"]).removeprefix("Value error, ")
    if not field and ": " in expected:  # rules about several fields begin with the field they would change
        field, expected = expected.split(": ", 1)
    got = "" if problem["type"] in ("missing", "value_error") else f"{problem['input']!r}"[:80]
    return BadSetting(
        f"The charter's field {field or 'format'} is not usable",
        expected=expected.removeprefix("expected "),
        got=got,
        hint="docs/formats/charter.md describes every field",
    )
