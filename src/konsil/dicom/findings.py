"""What later steps rely on in scan.json (docs/formats/cohort.md), checked before they do.

The file lies on a disk where people edit things. Names of cases become names of folders, and roles too, so both have to
be what scan writes; paths cannot be forged, because they are sealed (`sealed`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from konsil.cohort.cases import NAME
from konsil.cohort.frozen import Sha256, broken_rule
from konsil.errors import BadInput
from konsil.types import Json

CaseName = Annotated[str, Field(pattern=f"^{NAME.pattern}$")]
Role = Literal["T1w", "FLAIR", "SEG", "MASK"]
NEEDED = {"T1w", "FLAIR"}


class Loose(BaseModel):
    """Further keys may stand there; those that are named have to be of their type."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)


class FoundSeries(Loose):
    """One chosen series."""

    files: list[str] = Field(min_length=1)
    label: str
    sha256: Sha256


class FoundCase(Loose):
    """One proposed case."""

    series: dict[Role, FoundSeries]
    warnings: list[str]
    others: list[dict[str, str]]

    @model_validator(mode="after")
    def _is_a_pair(self) -> FoundCase:
        if not self.series.keys() >= NEEDED:
            raise ValueError("a case has a T1w and a FLAIR")
        return self


class Findings(Loose):
    """The whole file."""

    inbox: str
    cases: dict[CaseName, FoundCase]
    set_aside: dict[str, str]
    unreadable: dict[str, list[str]]
    ignored: dict[str, int]


def check(found: Json) -> None:
    """Raise `BadInput` with the first rule that a scan.json breaks; never with what was found there."""
    try:
        Findings.model_validate(found)
    except ValidationError as error:
        raise BadInput(
            "scan.json was changed", expected="docs/formats/cohort.md", got=broken_rule(error), hint="Scan again"
        ) from error
