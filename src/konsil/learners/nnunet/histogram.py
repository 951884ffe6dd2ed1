"""Voxel and image sizes as counts, for charters that do not let a line per case leave a site (`"sizes": "histograms"`).

Each axis has its own counts of pairs (voxel size to 0.01 mm, image size to 8 voxels), and the share that cropping left
has counts of its own in steps of 0.05. So no case can be put together from its three axes, and sizes are only known to
half a step. nnU-Net's planner looks at one axis at a time (quantiles of voxel sizes, the median of image size in mm),
so the steps are all that it loses: `cases` gives it as many made-up cases with the same counts on every axis.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    from konsil.learners.nnunet.fingerprint import Geometry

SPACING_MM, SHAPE, SHARE = 0.01, 8, 0.05
AXES = 3
MOST_CASES = 100_000

Count = Annotated[int, Field(ge=1, le=MOST_CASES)]
Sizes = tuple[Annotated[float, Field(gt=0, le=100)], Annotated[int, Field(ge=SHAPE, le=4096)], Count]
Share = tuple[Annotated[float, Field(gt=0, lt=1)], Count]


class Histograms(BaseModel):
    """`axes`: for z, y, x the sorted (voxel size in mm, image size in voxels, cases); `share`: (middle, cases)."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    axes: tuple[list[Sizes], list[Sizes], list[Sizes]]
    share: list[Share]

    @model_validator(mode="after")
    def counts_agree(self) -> Histograms:
        """Every axis tells of the same number of cases, at least one."""
        totals = {sum(one[-1] for one in table) for table in (*self.axes, self.share)}
        if len(totals) != 1 or not 0 < min(totals) <= MOST_CASES:
            raise ValueError(f"histograms of one number of cases, 1 to {MOST_CASES}, not {sorted(totals)}")
        return self

    @property
    def total(self) -> int:
        """How many cases were counted."""
        return sum(count for _, count in self.share)


def counted(geometry: Iterable[Geometry]) -> Histograms:
    """Count cases."""
    known = list(geometry)
    axes = [Counter((spacing(g.spacing_mm[a]), shape(g.shape[a])) for g in known) for a in range(AXES)]
    shares = Counter(min(int(g.share / SHARE), int(1 / SHARE) - 1) for g in known)
    return Histograms.model_validate(
        {
            "axes": [[(*sizes, n) for sizes, n in sorted(axis.items())] for axis in axes],
            "share": [(round((step + 0.5) * SHARE, 3), n) for step, n in sorted(shares.items())],
        }
    )


def added(parts: Iterable[Histograms]) -> Histograms:
    """The histograms of all cases together, whatever the order of the parts."""
    axes: list[Counter[tuple[float, int]]] = [Counter() for _ in range(AXES)]
    shares: Counter[float] = Counter()
    for part in parts:
        for axis, table in zip(axes, part.axes, strict=True):
            axis.update({(mm, voxels): n for mm, voxels, n in table})
        shares.update(dict(part.share))
    return Histograms.model_validate(
        {
            "axes": [[(*sizes, n) for sizes, n in sorted(axis.items())] for axis in axes],
            "share": sorted(shares.items()),
        }
    )


def cases(histograms: Histograms) -> Iterable[tuple[tuple[float, ...], tuple[int, ...], float]]:
    """Made-up cases with these counts: (voxel sizes in mm, image sizes in voxels, share), axes joined as sorted."""
    lists = [[(mm, voxels) for mm, voxels, n in table for _ in range(n)] for table in histograms.axes]
    shares = [middle for middle, n in histograms.share for _ in range(n)]
    for *sizes, share in zip(*lists, shares, strict=True):
        yield tuple(mm for mm, _ in sizes), tuple(voxels for _, voxels in sizes), share


def spacing(mm: float) -> float:
    """The nearest step of voxel size, in mm."""
    return round(max(round(mm / SPACING_MM), 1) * SPACING_MM, 2)


def shape(voxels: int) -> int:
    """The nearest step of image size, in voxels."""
    return max(round(voxels / SHAPE), 1) * SHAPE
