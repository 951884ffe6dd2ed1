"""The keys of one party: an age key (X25519) opens what is sealed for it, an Ed25519 key signs what it says.

Both are made by the party itself and kept in `<home>/keys/identity.json` with mode 600; nobody else ever holds them.
Keys that were replaced (`konsil.trust.rotation`) stay in that file, to open what was sealed for them. What others get
is `PublicKeys`. Its fingerprint is short enough to be compared over the phone: 80 bits of SHA-256 in base32, in groups
of four.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

import pyrage
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, field_validator

from konsil.errors import BadSetting, Missing
from konsil.files import read_json, write_json
from konsil.types import Json


class PublicKeys(BaseModel):
    """What others may know of a party: `age` (an age recipient) and `signing` (base64 of an Ed25519 public key)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    age: str
    signing: str

    @field_validator("age")
    @classmethod
    def _is_recipient(cls, text: str) -> str:
        try:
            pyrage.x25519.Recipient.from_str(text)
        except pyrage.RecipientError as error:
            raise ValueError("not an age X25519 recipient") from error
        return text

    @field_validator("signing")
    @classmethod
    def _is_ed25519(cls, text: str) -> str:
        Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
        return text

    @property
    def fingerprint(self) -> str:
        """Sixteen characters in groups of four, to be compared by phone."""
        return spoken(f"{self.age} {self.signing}".encode())


class Identity:
    """The private keys of one party; `earlier` are those it had before, oldest first."""

    def __init__(self, age: str, signing: bytes, earlier: Sequence[Identity] = ()) -> None:
        self.age = pyrage.x25519.Identity.from_str(age)
        self._signing = Ed25519PrivateKey.from_private_bytes(signing)
        self.earlier = tuple(earlier)

    def successor(self) -> Identity:
        """New keys, these among the earlier ones."""
        fresh = Identity.generate()
        fresh.earlier = (*self.earlier, self)
        return fresh

    @property
    def openers(self) -> list[pyrage.x25519.Identity]:
        """Every age key that opens what is meant for this party, the newest first."""
        return [self.age, *(held.age for held in reversed(self.earlier))]

    @classmethod
    def generate(cls) -> Identity:
        """New keys from the operating system's random numbers."""
        return cls(str(pyrage.x25519.Identity.generate()), Ed25519PrivateKey.generate().private_bytes_raw())

    @property
    def public(self) -> PublicKeys:
        """What others may know."""
        signing = base64.b64encode(self._signing.public_key().public_bytes_raw()).decode()
        return PublicKeys(age=str(self.age.to_public()), signing=signing)

    def sign(self, content: bytes) -> bytes:
        """Ed25519 signature (RFC 8032), 64 bytes."""
        return self._signing.sign(content)

    def save(self, home: Path) -> None:
        """Write the keys to `<home>/keys`, readable by this user only."""
        folder = home / "keys"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        content: Json = self._as_json()
        if self.earlier:
            content["earlier"] = [held._as_json() for held in self.earlier]
        write_json(folder / "identity.json", content, mode=0o600)

    def _as_json(self) -> Json:
        return {"age": str(self.age), "signing": base64.b64encode(self._signing.private_bytes_raw()).decode()}

    @classmethod
    def _of(cls, content: Json, earlier: Sequence[Identity] = ()) -> Identity:
        return cls(content["age"], base64.b64decode(content["signing"], validate=True), earlier)

    @classmethod
    def load(cls, home: Path) -> Identity:
        """Read the keys of this home; `Missing` where none were made, `BadSetting` where others could read them."""
        path = home / "keys" / "identity.json"
        if not path.is_file():
            raise Missing(
                "this home has no keys yet", hint="Run 'konsil site join PASS' or 'konsil central init' first"
            )
        if path.stat().st_mode & 0o077:
            raise BadSetting(
                "the private keys can be read by other users", expected="mode 600", hint=f"Run: chmod 600 {path}"
            )
        content = read_json(path)
        try:
            return cls._of(content, [cls._of(held) for held in content.get("earlier", [])])
        except (KeyError, TypeError, ValueError, pyrage.IdentityError) as error:
            raise BadSetting(
                "the private keys of this home are damaged", hint="Restore keys/identity.json from the backup"
            ) from error

    @classmethod
    def keep(cls, home: Path) -> Identity:
        """The keys of this home, made now if there are none."""
        try:
            return cls.load(home)
        except Missing:
            identity = cls.generate()
            identity.save(home)
            return identity


def spoken(content: bytes) -> str:
    """80 bits of SHA-256 in base32, four groups of four characters: what two people compare by phone."""
    text = base64.b32encode(hashlib.sha256(content).digest()[:10]).decode()
    return "-".join(text[start : start + 4] for start in range(0, 16, 4))
