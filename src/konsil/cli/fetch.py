"""`konsil fetch`: get studies from a DICOMweb server into the inbox."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from konsil.cli.door import RESULT, leave, speak

if TYPE_CHECKING:
    from pydantic import SecretStr

    from konsil.dicom.dicomweb import Access, Server
    from konsil.dicom.wishes import Search, Wishes
    from konsil.settings import Settings

DAY = ["%Y-%m-%d"]


def fetch(
    inbox: Path | None = typer.Argument(None, metavar="[INBOX]", help="Folder to fill; default: the site's inbox."),
    url: str | None = typer.Option(None, "--url", help="The DICOMweb server; default: KONSIL_DICOMWEB_URL."),
    studies: Path | None = typer.Option(None, "--studies", help="File with one StudyInstanceUID a line."),
    patients: Path | None = typer.Option(None, "--patients", help="File with one PatientID a line."),
    first: datetime | None = typer.Option(None, "--from", formats=DAY, help="First day of studies."),
    last: datetime | None = typer.Option(None, "--to", formats=DAY, help="Last day of studies."),
    description: str = typer.Option("", "--description", help="Part of the study's description; * and ? are wild."),
    result: Path | None = RESULT,
) -> None:
    """Fetch the MR series and segmentations of studies by DICOMweb. What is there already is not fetched again.

    User, password, token and certificate authority come from KONSIL_DICOMWEB_… (docs/sources.md).

    Example: konsil fetch --url https://pacs.example.org/dicom-web --studies uids.txt
    """
    from konsil.cohort.folder import SiteFolder
    from konsil.dicom.arrivals import Arrivals
    from konsil.dicom.dicomweb import Server
    from konsil.dicom.fetch import fetch as get
    from konsil.dicom.wishes import Search
    from konsil.settings import Settings
    from konsil.types import Outcome

    speak()
    settings = Settings()
    search = Search(first.date() if first else None, last.date() if last else None, description)
    server = Server(access_of(settings, url))
    wishes = wishes_of(server, studies, patients, search)
    with Arrivals(inbox or SiteFolder(settings.home).inbox) as arrivals:
        fetched = get(server, wishes.studies, arrivals)
    leave(Outcome(fetched.done, {**wishes.refused, **fetched.set_aside}), result=result, unit="studies")


def wishes_of(server: Server, studies: Path | None, patients: Path | None, search: Search) -> Wishes:
    """What the command line asks for; raises `BadInput` for nothing, or for two things at once."""
    from konsil.dicom.wishes import found_studies, listed_studies, studies_of_patients
    from konsil.errors import BadInput

    if studies is not None and (patients is not None or not search.is_empty):
        raise BadInput(
            "a list of studies is complete by itself", expected="--studies without another choice", hint="Leave one out"
        )
    if studies is not None:
        return listed_studies(studies)
    if patients is not None:
        return studies_of_patients(server, patients, search)
    if search.is_empty:
        raise BadInput(
            "it is not said what to fetch", expected="--studies, --patients, or --from, --to and --description"
        )
    return found_studies(server, search)


def access_of(settings: Settings, url: str | None) -> Access:
    """How to reach the server, from the settings; raises `BadSetting` for two secrets of one kind."""
    from konsil.dicom.dicomweb import Access
    from konsil.errors import BadSetting

    token = secret(settings.dicomweb_token, settings.dicomweb_token_file, "token")
    password = secret(settings.dicomweb_password, settings.dicomweb_password_file, "password")
    if token and settings.dicomweb_user:
        raise BadSetting("there are a token and a user for the DICOMweb server", expected="one of them")
    if bool(password) != bool(settings.dicomweb_user):
        raise BadSetting("half of the credentials for the DICOMweb server is missing", expected="user and password")
    return Access(
        url=url or settings.dicomweb_url,
        user=settings.dicomweb_user,
        password=password,
        token=token,
        ca_file=settings.dicomweb_ca_file,
        timeout_s=settings.dicomweb_timeout_s,
    )


def secret(value: SecretStr | None, file: Path | None, what: str) -> str:
    """A secret from its variable or its file, never from the command line, which others of the machine can see."""
    from konsil.errors import BadSetting, Missing

    if value is not None and file is not None:
        raise BadSetting(f"the {what} for the DICOMweb server is given twice", expected="a variable or a file")
    if file is None:
        return value.get_secret_value() if value is not None else ""
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Missing(
            f"the file with the {what} for the DICOMweb server cannot be read", got=type(error).__name__
        ) from None


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("fetch")(fetch)
