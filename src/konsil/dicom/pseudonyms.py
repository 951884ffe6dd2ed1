"""Names that only this site can trace back.

A pseudonym is HMAC-SHA256 of the patient's number under a secret of the site, cut to 50 bits and written in base32: the
same patient always gets the same one, and nobody without the secret can test whether a known patient is among them (a
plain hash would allow just that: hospital numbers are few enough to try them all). Dates move back by a keyed number of
whole days per patient, so intervals within a patient stay true. UIDs become `2.25.<128-bit number>` (DICOM PS3.5 B.2),
the same everywhere, so a segmentation still points at its image. The secret never leaves `<home>/keys`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from datetime import UTC, datetime, timedelta
from functools import cached_property

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from pydicom.uid import UID

from konsil.cohort.folder import SiteFolder
from konsil.errors import BadInput
from konsil.files import sweep, write_once

SECRET_BYTES = 32
SUBJECT_LETTERS = 10
LONGEST_SHIFT_DAYS = 3650
SEALED_PATH = b"path of the inbox"


class Pseudonyms:
    """Keyed replacements for a patient's number, dates and UIDs."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) != SECRET_BYTES:
            raise BadInput(
                "the site's pseudonym key is not usable", expected=f"{SECRET_BYTES} bytes", got=str(len(secret))
            )
        self._secret = secret

    def __reduce__(self) -> tuple[type[Pseudonyms], tuple[bytes]]:
        """Worker processes get the secret; the cipher that was made from it cannot travel."""
        return Pseudonyms, (self._secret,)

    def subject(self, patient: str) -> str:
        """The pseudonym of a patient: 10 lower-case letters and digits."""
        return base64.b32encode(self._keyed("patient", patient)).decode().lower()[:SUBJECT_LETTERS]

    def session(self, patient: str, day: str) -> str:
        """The shifted day as YYYYMMDD, or `undated` if the day is none."""
        return self.date(patient, day) or "undated"

    def date(self, patient: str, day: str) -> str:
        """A DICOM date (YYYYMMDD) moved back by 1 to 3650 days, the same for all of a patient; empty if unreadable."""
        days = 1 + int.from_bytes(self._keyed("shift", patient)[:8]) % LONGEST_SHIFT_DAYS
        try:
            real = datetime.strptime(day[:8], "%Y%m%d").replace(tzinfo=UTC)
            return (real - timedelta(days=days)).date().isoformat().replace("-", "")
        except (ValueError, OverflowError):
            return ""

    def uid(self, uid: str) -> str:
        """A UID that is the same for the same one; those that the standard names (PS3.6, Annex A) stay as they are."""
        if not uid or UID(uid).name != uid:
            return uid
        return f"2.25.{int.from_bytes(self._keyed('uid', uid)[:16])}"

    def seal(self, text: str) -> str:
        """A path of the inbox, encrypted: the same for the same path, readable with the site's secret only."""
        return base64.urlsafe_b64encode(self._cipher.encrypt(os.fsencode(text), [SEALED_PATH])).decode()

    def unseal(self, token: str) -> str:
        """The path that was sealed; raises `BadInput` if it was sealed under another secret, or changed."""
        try:
            return os.fsdecode(self._cipher.decrypt(base64.urlsafe_b64decode(token), [SEALED_PATH]))
        except (InvalidTag, ValueError) as error:
            raise BadInput(
                "a path in scan.json cannot be read",
                expected="paths sealed under this site's key",
                hint="If the key in the site's folder was replaced, scan again",
            ) from error

    @cached_property
    def _cipher(self) -> AESSIV:
        return AESSIV(hmac.new(self._secret, SEALED_PATH, hashlib.sha512).digest())

    def _keyed(self, purpose: str, text: str) -> bytes:
        return hmac.new(self._secret, f"{purpose}:{text}".encode(), hashlib.sha256).digest()


def open_pseudonyms(site: SiteFolder) -> Pseudonyms:
    """The site's pseudonyms; the secret is made at the first call and kept with mode 600."""
    path = site.keys / "pseudonym.key"
    sweep(site.keys, folders=False)
    if not path.exists():
        site.keys.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_once(path, secrets.token_bytes(SECRET_BYTES), mode=0o600)
    return Pseudonyms(path.read_bytes())
