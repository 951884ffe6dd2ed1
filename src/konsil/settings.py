"""The settings of one site or centre, read once at the door and passed down.

Variables begin with `KONSIL_`. Nothing in the library reads the environment: commands, operators and plugins call
`Settings()` and hand on what they got.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class Settings(BaseSettings):
    """Where this site or centre lives and how much of the machine it may use."""

    model_config = SettingsConfigDict(env_prefix="KONSIL_", frozen=True, extra="ignore")

    home: Path = Field(
        default=Path("konsil-home"), description="Folder of this site or centre: keys, pass, cohorts, runs."
    )
    workers: int = Field(default=1, ge=1, le=64, description="Cases handled at the same time by one step.")
    threads: int = Field(default=1, ge=1, le=64, description="Threads of one numerical process.")
    poll_s: float = Field(default=1.0, gt=0, le=60, description="Longest pause between two looks into the store.")
    patience_s: float = Field(
        default=30.0,
        ge=0,
        description="How long a stint waits warm for the next object before it gives its place back.",
    )
    reviewers: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("reviewer", "admin"),
        min_length=1,
        description="Accounts that may decide on cases and sign a cohort off; parted by commas.",
    )

    @field_validator("reviewers", mode="before")
    @classmethod
    def _are_parted_by_commas(cls, value: object) -> object:
        return tuple(filter(None, (name.strip() for name in value.split(",")))) if isinstance(value, str) else value
