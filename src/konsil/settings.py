"""The settings of one site or centre, read once at the door and passed down.

Variables begin with `KONSIL_`. Nothing in the library reads the environment: commands, operators and plugins call
`Settings()` and hand on what they got. A value that is not usable is a `BadSetting` that names the variable and not the
value.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from konsil.errors import BadSetting

MaskMethod: TypeAlias = Literal["atlas", "hd-bet"]
Door: TypeAlias = Literal["process", "docker"]


class Settings(BaseSettings):
    """Where this site or centre lives and how much of the machine it may use."""

    model_config = SettingsConfigDict(env_prefix="KONSIL_", frozen=True, extra="ignore")

    home: Path = Field(
        default=Path("konsil-home"), description="Folder of this site or centre: keys, pass, cohorts, runs."
    )
    workers: int = Field(default=1, ge=1, le=64, description="Cases handled at the same time by one step.")
    threads: int = Field(default=1, ge=1, le=64, description="Threads of one numerical process.")
    poll_s: float = Field(
        default=0.25, gt=0, le=60, description="Longest pause between two looks into the store while waiting warm."
    )
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
    custodians: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("custodian", "admin"),
        min_length=1,
        description="Accounts that may decide on charters and sign standing policies; parted by commas.",
    )
    image: str = Field(
        default="",
        pattern=r"^(sha256:[0-9a-f]{64})?$",
        description="Digest (or name@digest) of the image that does the work here; approvals are pinned to it.",
    )

    reviewed_only: bool | None = Field(
        default=None,
        description="Whether charters need a reviewed learner here; not set: once this site trusts a reviewer.",
    )

    try_later: int = Field(
        default=1,
        ge=1,
        le=125,
        description="Exit code of a command that may succeed when it is tried again; Airflow's tasks set 75.",
    )

    airflow_url: str = Field(default="", description="Address of the centre's Airflow, for konsil federation.")
    airflow_user: str = Field(default="operator", description="Account there.")
    airflow_password: SecretStr | None = Field(default=None, description="Password of that account.")

    brain_masks: MaskMethod = Field(
        default="atlas", description="How brain masks are drawn: atlas, or hd-bet (an extra; needs a GPU and weights)."
    )

    reference: str = Field(
        default="abide",
        description="Whose measures stand beside a cohort's on its pages: abide, or a .json file of konsil reference.",
    )

    tensorboard: Path | None = Field(
        default=None, description="Folder for TensorBoard's event files, one folder per run and party below it."
    )
    mlflow: str = Field(default="", description="Address of an MLflow tracking server, e.g. http://127.0.0.1:5000.")

    door: Door = Field(default="process", description="Where Airflow's tasks run verbs: process, or docker.")
    door_image: str = Field(default="konsil/imaging", description="The image in which the door docker runs them.")
    door_reads: Annotated[tuple[Path, ...], NoDecode] = Field(
        default=(), description="Folders besides the home that a verb in a container may read, such as the inbox."
    )

    inbox_links: Annotated[tuple[Path, ...], NoDecode] = Field(
        default=(), description="Folders outside the inbox that links in it may lead to; no other link is followed."
    )
    ae_title: str = Field(default="KONSIL", description="The name under which this site receives images (C-STORE).")
    receive_address: str = Field(
        default="127.0.0.1", description="Address that the receiver listens at; 0.0.0.0 for all of this machine."
    )
    receive_port: int = Field(default=11112, ge=0, le=65535, description="Port that the receiver listens at.")
    receive_peers: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Who may send images: AE titles, or AE@address, or AE@network; parted by commas."
    )
    receive_associations: int = Field(default=10, ge=1, le=100, description="Senders served at the same time.")
    receive_timeout_s: float = Field(
        default=60.0, gt=0, le=3600, description="How long a silent sender is waited for before it is cut off."
    )

    dicomweb_url: str = Field(default="", description="Address of the DICOMweb server, e.g. https://pacs/dicom-web.")
    dicomweb_user: str = Field(default="", description="User at the DICOMweb server, where it asks for a password.")
    dicomweb_password: SecretStr | None = Field(default=None, description="Password of that user.")
    dicomweb_password_file: Path | None = Field(default=None, description="File that holds that password.")
    dicomweb_token: SecretStr | None = Field(default=None, description="Bearer token for the DICOMweb server.")
    dicomweb_token_file: Path | None = Field(default=None, description="File that holds that token.")
    dicomweb_ca_file: Path | None = Field(
        default=None, description="Authority (PEM) of the DICOMweb server's certificate; by default the public ones."
    )
    dicomweb_timeout_s: float = Field(
        default=60.0, gt=0, le=3600, description="How long a silent DICOMweb server is waited for."
    )

    def __init__(self, **given: Any) -> None:
        try:
            super().__init__(**given)
        except ValidationError as error:
            wrong = error.errors(include_input=False, include_url=False)[0]
            name = "".join(str(part) for part in wrong["loc"][:1]).upper()
            raise BadSetting(f"the setting KONSIL_{name} is not usable", got=wrong["msg"]) from None

    @field_validator("image", mode="before")
    @classmethod
    def _is_the_digest_of_a_reference(cls, value: object) -> object:
        return value.rpartition("@")[2] if isinstance(value, str) else value

    @field_validator("reviewers", "custodians", "receive_peers", "door_reads", "inbox_links", mode="before")
    @classmethod
    def _are_parted_by_commas(cls, value: object) -> object:
        return tuple(filter(None, (name.strip() for name in value.split(",")))) if isinstance(value, str) else value
