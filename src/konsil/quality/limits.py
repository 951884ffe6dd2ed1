"""The table of measures and limits: from where on a value is worth a warning, or fails.

It is one TOML file (`limits.toml` beside this module), read by the code, the pages and the tests alike. A site that
wants other limits writes a file with the same keys as one profile: `extends`, `voxel_mm`, `voxel_tolerance`,
`voxel_verdict`, `[limits]`.
"""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from konsil.errors import BadInput, BadSetting
from konsil.types import Json

DEFAULT_PROFILE = "ms-paper"


class Closed(BaseModel):
    """A value that is not changed and has no fields but its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class MeasureKind(Closed):
    """What a measure is: its title, unit, good direction, and what leaving the limits means."""

    title: str
    images: tuple[str, ...]
    unit: str
    better: Literal["higher", "lower", "within", "neither"]
    low: str = ""
    high: str = ""
    optional: bool = False


class Bounds(Closed):
    """From where on a value warns or fails; None = no limit on that side."""

    warn_below: float | None = None
    fail_below: float | None = None
    warn_above: float | None = None
    fail_above: float | None = None


class Limits(Closed):
    """One profile: the wanted voxel size and the bounds of every measure, by key."""

    profile: str
    voxel_mm: float = Field(gt=0, le=10)
    voxel_tolerance: float = Field(default=0.1, gt=0, lt=1)
    voxel_verdict: Literal["warn", "fail"] = "fail"
    limits: dict[str, Bounds] = {}

    def bounds(self, key: str) -> Bounds:
        """The bounds of one measure. Those of the voxel size follow from the wanted size and its tolerance."""
        if key.endswith("voxel_deviation_mm"):
            # A stored 1.1 mm is 1.10000002 in the header's single precision.
            highest = round(self.voxel_mm * self.voxel_tolerance + 1e-3, 4)
            return Bounds(fail_above=highest) if self.voxel_verdict == "fail" else Bounds(warn_above=highest)
        return self.limits.get(key, Bounds())


def read_table() -> Json:
    """The whole of limits.toml."""
    return tomllib.loads(resources.files("konsil.quality").joinpath("limits.toml").read_text(encoding="utf-8"))


def measure_kinds() -> dict[str, MeasureKind]:
    """Every measure by key, in the table's order: `<image>_<name>`, or `<name>` for those of both images together."""
    kinds: dict[str, MeasureKind] = {}
    for name, content in read_table()["measures"].items():
        kind = MeasureKind.model_validate(content)
        keys = [f"{image.lower()}_{name}" for image in kind.images] or [name]
        kinds.update(dict.fromkeys(keys, kind))
    return kinds


def load_limits(profile: str = DEFAULT_PROFILE, *, voxel_mm: float | None = None) -> Limits:
    """A profile of the table, or a site's own file (a path that ends in .toml); `voxel_mm` replaces the voxel size.

    Raises `BadInput` for an unknown profile or an unreadable file, `BadSetting` for a value that cannot be used.
    """
    profiles: Json = read_table()["profiles"]
    if profile.endswith(".toml"):
        file = Path(profile)
        profile, profiles = file.stem, {**profiles, file.stem: read_toml(file)}
    content = resolve(profile, profiles)
    if voxel_mm is not None:
        content["voxel_mm"] = voxel_mm
    try:
        limits = Limits.model_validate({**content, "profile": profile})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadSetting(f"the limits have no usable {where}", expected=first["msg"]) from error
    unknown = set(limits.limits) - set(measure_kinds())
    if unknown:
        raise BadSetting(
            f"the limits name what is not measured: {', '.join(sorted(unknown))}",
            expected=f"some of {', '.join(measure_kinds())}",
        )
    return limits


def resolve(profile: str, profiles: Json) -> Json:
    """One profile with everything it inherits."""
    if not isinstance(profile, str) or profile not in profiles:
        raise BadInput(
            "there is no such set of limits", expected=f"{', '.join(profiles)} or a .toml file", got=f"{profile!r:.40}"
        )
    if not isinstance(profiles[profile].get("limits", {}), dict):
        raise BadSetting("the limits have no usable limits", expected="a table such as [limits]")
    own = dict(profiles[profile])
    parent = own.pop("extends", None)
    if parent is None:
        return own
    rest = {name: content for name, content in profiles.items() if name != profile}
    base = resolve(parent, rest)
    return {**base, **own, "limits": {**base.get("limits", {}), **own.get("limits", {})}}


def read_toml(file: Path) -> Json:
    """A site's own limits."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(
            "the file of limits cannot be read", expected="TOML like konsil/quality/limits.toml", got=str(error)[:120]
        ) from error
