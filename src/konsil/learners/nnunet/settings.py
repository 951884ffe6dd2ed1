"""What a charter may say about nnU-Net. The defaults are nnU-Net's own, which are also the paper's.

One round is `local_epochs` times `batches_per_epoch` optimizer steps. The learning rate falls over the whole
federation, `lr(e) = learning_rate · (1 - e / (rounds · local_epochs))^0.9` for epoch e, never per round. `network`
replaces what the planner chose by something small, for a demonstration on a CPU. See docs/learners.md.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from konsil.errors import BadSetting
from konsil.types import Json

Edge = Annotated[int, Field(ge=8, le=512)]
Edges = Annotated[tuple[Edge, ...], Field(min_length=2, max_length=3)]
Features = Annotated[int, Field(ge=1, le=2048)]


class Part(BaseModel):
    """Unknown settings are refused, nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Network(Part):
    """A U-Net given by hand: one entry of `features_per_stage` per resolution, each half the one before.

    Three stages at least: nnU-Net's deep supervision gives the coarsest output no weight, and two stages have no other.
    """

    patch_size: Edges = Field(description="Voxels along each axis of the preprocessed image; two of them for 2d.")
    features_per_stage: tuple[Features, ...] = Field(min_length=3, max_length=8)
    n_conv_per_stage: int = Field(default=2, ge=1, le=6)
    batch_size: int = Field(default=2, ge=1, le=64)

    @model_validator(mode="after")
    def patch_can_be_halved(self) -> Network:
        """Every edge of the patch must be halved once per stage but the first, without a rest."""
        step = 2 ** (len(self.features_per_stage) - 1)
        if any(edge % step for edge in self.patch_size):
            raise ValueError(f"patch_size must be a multiple of {step} for {len(self.features_per_stage)} stages")
        return self


class NnUNetSettings(Part):
    """The learner's part of the charter."""

    configuration: Literal["2d", "3d_fullres", "3d_lowres"] = "3d_fullres"
    planner: Literal["ExperimentPlanner", "nnUNetPlannerResEncM", "nnUNetPlannerResEncL", "nnUNetPlannerResEncXL"] = (
        "ExperimentPlanner"
    )
    sizes: Literal["per case", "histograms"] = Field(
        default="per case", description="How voxel and image sizes leave a site (fingerprint.py, histogram.py)."
    )
    gpu_memory_target_gb: float = Field(default=8, ge=2, le=200)
    local_epochs: int = Field(default=1, ge=1, le=100)
    batches_per_epoch: int = Field(default=250, ge=1, le=10_000)
    validation_batches: int = Field(default=50, ge=0, le=10_000)
    dice_every: int = Field(
        default=10, ge=0, le=1000, description="Every so many rounds the validation patients are segmented; 0: never."
    )
    learning_rate: float = Field(default=0.01, gt=0, le=1)
    weight_decay: float = Field(default=3e-5, ge=0, le=1)
    momentum: float = Field(default=0.99, ge=0, lt=1)
    optimizer_state: Literal["keep", "reset", "share"] = Field(
        default="keep",
        description="A site's momentum between rounds: kept there, forgotten, or averaged with the weights.",
    )
    oversample_foreground: float = Field(default=0.33, ge=0, le=1)
    augmentation: Literal["default", "none"] = "default"
    augmentation_workers: int | None = Field(default=None, ge=0, le=64, description="None: 0 on a CPU, 12 with a GPU.")
    compiled: bool = Field(default=True, description="Let torch compile the network (GPUs only; as nnU-Net).")
    deterministic: bool = Field(default=False, description="The same weights again on a GPU too; slower (device.py).")
    network: Network | None = None
    mirroring: bool = Field(
        default=True, description="Average over flips when predicting (only if trained with flips)."
    )
    tile_size: Edges | None = Field(
        default=None, description="Voxels of a tile when predicting; None: the patch. Larger is faster on a CPU."
    )
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = Field(
        default=1, ge=1, le=64, description="Torch threads on a CPU; another number changes the last bits."
    )

    @model_validator(mode="after")
    def axes_fit(self) -> NnUNetSettings:
        """Patch and tile have as many edges as the network has dimensions."""
        wanted = 2 if self.configuration == "2d" else 3
        for name, edges in (
            ("network.patch_size", self.network.patch_size if self.network else None),
            ("tile_size", self.tile_size),
        ):
            if edges is not None and len(edges) != wanted:
                raise ValueError(f"{name} must have {wanted} numbers for {self.configuration}, not {len(edges)}")
        return self

    @model_validator(mode="after")
    def nothing_races(self) -> NnUNetSettings:
        """Worker processes hand in batches in the order in which they happen to be ready."""
        if self.deterministic and self.augmentation_workers:
            raise ValueError("deterministic training has no augmentation_workers (0, or leave it out)")
        return self

    @model_validator(mode="after")
    def there_is_something_to_share(self) -> NnUNetSettings:
        """Without momentum the optimizer has no state."""
        if self.optimizer_state == "share" and not self.momentum:
            raise ValueError("optimizer_state share needs a momentum above 0")
        return self

    @model_validator(mode="after")
    def tile_can_be_halved(self) -> NnUNetSettings:
        """A tile must pass the network's stages like a patch."""
        if any(edge % self.tile_step for edge in self.tile_size or ()):
            raise ValueError(f"tile_size must be a multiple of {self.tile_step}")
        return self

    @property
    def tile_step(self) -> int:
        """What the edges of a tile are multiples of: the network halves them at every stage but the first."""
        return 2 ** (len(self.network.features_per_stage) - 1) if self.network else 32


class Data(Part):
    """The charter's data request: which channels, in which order, and which labels."""

    name: str
    channels: tuple[str, ...] = Field(min_length=1, max_length=10)
    labels: dict[str, int]

    @model_validator(mode="after")
    def labels_count_from_one(self) -> Data:
        """Make the background explicit; the other values must be 1, 2, 3, … as nnU-Net wants them."""
        foreground = sorted(value for name, value in self.labels.items() if name != "background")
        if self.labels.get("background", 0) != 0 or not foreground or foreground != list(range(1, len(foreground) + 1)):
            raise ValueError("labels must be background = 0 and then 1, 2, 3, … without a gap")
        return self

    @property
    def foreground(self) -> dict[str, int]:
        """The labels without the background, by value."""
        return dict(sorted(((n, v) for n, v in self.labels.items() if v != 0), key=lambda item: item[1]))


def parse_settings(content: Json) -> NnUNetSettings:
    """Check the learner's settings; BadSetting names the first that is wrong."""
    try:
        return NnUNetSettings.model_validate(content)
    except ValidationError as error:
        raise refusal("nnU-Net's settings in the charter", error.errors()[0]) from error


def parse_data(content: Json) -> Data:
    """Check the charter's data request; BadSetting names the first field that is wrong."""
    try:
        return Data.model_validate({key: content[key] for key in ("name", "channels", "labels") if key in content})
    except ValidationError as error:
        raise refusal("the charter's data request", error.errors()[0]) from error


def refusal(part: str, problem: Any) -> BadSetting:
    """One sentence out of pydantic's first complaint."""
    place = ".".join(str(step) for step in problem["loc"]) or "content"
    expected = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        known = ", ".join(NnUNetSettings.model_fields)
        return BadSetting(f"{part} name something unknown: {place}", expected=f"one of {known}")
    return BadSetting(f"{part} cannot be used: {place}", expected=expected, got=f"{problem['input']!r}"[:80])
