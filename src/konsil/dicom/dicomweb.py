"""A DICOMweb server (DICOM PS3.18), as Konsil asks it: which studies, which series, which images (QIDO-RS), and the
images themselves (WADO-RS). `dicomweb-client` speaks the protocol; here its answers become values and its errors
sentences, without addresses, since those hold UIDs and patients' numbers.

Servers differ. Pages of a search are asked for until one brings nothing new, because some cap them and some ignore the
offset. Images are asked for as they are stored, and, where a server refuses that (406), as it likes.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from dicomweb_client import DICOMwebClient
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase, HTTPBasicAuth
from urllib3.util import Retry

from konsil.dicom.reading import BROKEN, discreet
from konsil.errors import BadInput, BadSetting, KonsilError, Missing, Refused, Unavailable
from konsil.types import Json

log = logging.getLogger(__name__)
RETRIES = 2
CHUNK_BYTES = 1 << 14
"""Of a stream that breaks off, so much is lost of what had come."""
BUSY = (429, 502, 503, 504)
"""What a server answers when it could at another time."""
AS_STORED = (("application/dicom", "*"),)
NOT_ACCEPTABLE = 406
STUDY, SERIES, INSTANCE, PATIENT = "0020000D", "0020000E", "00080018", "00100020"
DAY, MODALITY, MODALITIES, DESCRIPTION = "00080020", "00080060", "00080061", "00081030"
LONGEST_UID = 64


class Denied(BadSetting):
    """The server does not let us in: nothing else has to be tried."""


@dataclass(frozen=True)
class Access:
    """How to reach a server. `token`, or `user` and `password`, or neither."""

    url: str
    user: str = ""
    password: str = ""
    token: str = ""
    ca_file: Path | None = None
    timeout_s: float = 60.0
    pause_s: float = 1.0


class Bearer(AuthBase):
    """Puts a token into the head of each request (RFC 6750)."""

    def __init__(self, token: str) -> None:
        self.token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the head."""
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


class Server:
    """A DICOMweb server. Every method raises `Denied`, `Missing`, `Refused` or `Unavailable`, in a sentence."""

    def __init__(self, access: Access) -> None:
        silence()
        if is_open_to_all(access):
            log.warning("the DICOMweb server is reached without encryption: images can be read on the way")
        self._client = DICOMwebClient(
            check_url(access.url),
            session=session(access),
            timeout=access.timeout_s,
            permissive_uid=True,
            chunk_size=CHUNK_BYTES,
        )
        self._client.set_http_retry_params(retry=False)  # the session does it, and waits less
        self._as_stored = True

    def studies(self, filters: Json) -> list[Json]:
        """Studies that fit the filters (keyword → value), as DICOM JSON (PS3.18, F.2), each once."""
        fields = ["StudyDescription", "ModalitiesInStudy"]
        return pages(
            lambda at: self._client.search_for_studies(search_filters=filters, fields=fields, offset=at), STUDY
        )

    def series(self, study: str) -> list[Json]:
        """The series of a study."""
        return pages(lambda at: self._client.search_for_series(study, offset=at), SERIES)

    def instances(self, study: str, series: str) -> list[str]:
        """The UIDs of the images of a series."""
        found = pages(lambda at: self._client.search_for_instances(study, series, offset=at), INSTANCE)
        return [text(one, INSTANCE) for one in found]

    def images(self, study: str, series: str) -> Iterator[bytes]:
        """The images of a series as DICOM files, one after the other as they arrive."""
        with in_words():
            stream = self._ask(lambda kind: self._client.iter_series(study, series, media_types=kind))
            for dataset in stream:
                yield encoded(dataset)

    def image(self, study: str, series: str, instance: str) -> bytes:
        """One image as a DICOM file."""
        with in_words():
            return encoded(
                self._ask(lambda kind: self._client.retrieve_instance(study, series, instance, media_types=kind))
            )

    def _ask(self, ask: Callable[[Any], Any]) -> Any:
        """Ask for images as they are stored; of a server that refuses it, as it likes."""
        if self._as_stored:
            try:
                return ask(AS_STORED)
            except requests.HTTPError as error:
                if status_of(error) != NOT_ACCEPTABLE:
                    raise
                self._as_stored = False
        return ask(("application/dicom",))


def session(access: Access) -> requests.Session:
    """A session that reads nothing from the environment: no proxies, no .netrc, no other certificates."""
    made = requests.Session()
    made.trust_env = False
    again = Retry(
        RETRIES, backoff_factor=access.pause_s, status_forcelist=BUSY, raise_on_status=False,
        respect_retry_after_header=False,
    )  # fmt: skip
    for scheme in ("http://", "https://"):
        made.mount(scheme, HTTPAdapter(max_retries=again))
    if access.ca_file is not None:
        if not access.ca_file.is_file():
            raise Missing("the certificate authority of the DICOMweb server is not there", expected="a PEM file")
        made.verify = str(access.ca_file)
    if access.token:
        made.auth = Bearer(access.token)
    elif access.user:
        made.auth = HTTPBasicAuth(access.user.encode(), access.password.encode())
    return made


def check_url(url: str) -> str:
    """The address without its last `/`; raises `BadSetting` if it is none."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise BadSetting(
            "the address of the DICOMweb server is not usable",
            expected="one such as https://pacs.example.org/dicom-web",
            hint="Give --url, or set KONSIL_DICOMWEB_URL",
        )
    if "@" in parts.netloc:
        raise BadSetting(
            "the address of the DICOMweb server holds a password",
            expected="the password in a file",
            hint="Set KONSIL_DICOMWEB_USER and KONSIL_DICOMWEB_PASSWORD_FILE",
        )
    return url.rstrip("/")


def is_open_to_all(access: Access) -> bool:
    """Whether what goes to and from the server can be read on the way."""
    parts = urlsplit(access.url)
    return parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1")


def pages(ask: Callable[[int], list[Json]], key: str) -> list[Json]:
    """All pages of a search, each result once (by the UID `key`); results without a usable UID are left out."""
    found: dict[str, Json] = {}
    asked = 0
    while True:
        with in_words():
            page = ask(asked)
            fresh = {text(one, key): one for one in page if is_uid(text(one, key)) and text(one, key) not in found}
        if not fresh:
            return list(found.values())
        found |= fresh
        asked += len(page)


def text(result: Json, tag: str) -> str:
    """The first value of an attribute in DICOM JSON as text; empty if there is none."""
    values = (result.get(tag) or {}).get("Value") or [""]
    return str(values[0] if values[0] is not None else "").strip()


def texts(result: Json, tag: str) -> list[str]:
    """All values of an attribute."""
    return [str(value).strip() for value in (result.get(tag) or {}).get("Value") or []]


def is_uid(value: str) -> bool:
    """Whether a text may be a UID (PS3.5, 9.1, without its rule on leading zeros, which many break)."""
    return 0 < len(value) <= LONGEST_UID and set(value) <= set("0123456789.")


def encoded(dataset: Dataset) -> bytes:
    """A data set as a DICOM file; values that were not touched are written as they came."""
    buffer = io.BytesIO()
    with discreet():
        dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@contextmanager
def in_words() -> Iterator[None]:
    """Turn what requests, dicomweb-client and pydicom raise into sentences."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd values and answers of servers are judged by what they hold
            yield
    except KonsilError:
        raise
    except requests.HTTPError as error:
        raise of_status(status_of(error)) from None
    except requests.exceptions.SSLError:
        raise Denied(
            "the DICOMweb server's certificate is not trusted",
            hint="Set KONSIL_DICOMWEB_CA_FILE to the authority of your hospital (PEM)",
        ) from None
    except requests.exceptions.ChunkedEncodingError:
        raise BadInput("the DICOMweb server broke off in the middle of its answer") from None
    except (requests.ConnectionError, requests.Timeout) as error:
        raise Unavailable("the DICOMweb server does not answer", got=type(error).__name__) from None
    except (requests.RequestException, InvalidDicomError, *BROKEN) as error:
        raise BadInput(
            "the DICOMweb server's answer is not what DICOM says", expected="PS3.18", got=type(error).__name__
        ) from None


def status_of(error: requests.HTTPError) -> int:
    """The HTTP status behind an error, 0 if there is none."""
    return 0 if error.response is None else error.response.status_code


def of_status(status: int) -> KonsilError:
    """The error for an HTTP status."""
    if status in (401, 407):
        return Denied(
            "the DICOMweb server does not accept our credentials",
            got=f"status {status}",
            hint="Renew the token, or check user and password",
        )
    if status == 403:
        return Refused("the DICOMweb server does not allow it", got="status 403", hint="Ask its administrator")
    if status in (404, 410):
        return Missing("the DICOMweb server does not have it", got=f"status {status}")
    if status in BUSY:
        return Unavailable("the DICOMweb server is busy", got=f"status {status}", hint="Try again later")
    return Refused("the DICOMweb server failed over it", got=f"status {status}", hint="Ask its administrator")


def silence() -> None:
    """Keep the libraries from logging addresses and UIDs."""
    for name in ("dicomweb_client", "retrying", "urllib3", "requests", "pydicom"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
