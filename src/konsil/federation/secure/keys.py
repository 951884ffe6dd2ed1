"""Masking keys: one X25519 pair per site and run, vouched for by the site, and the group of all who have one.

The centre passes the documents on, but cannot make one: each is signed by the key that the charter names for its site,
and the charter is what the custodians have read.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from konsil.errors import BadMessage, BadSetting
from konsil.files import read_json, write_json
from konsil.trust.identity import PublicKeys
from konsil.trust.signed import opened
from konsil.types import Json

SUBJECT = "masking"
LONGEST = 4096
SEED = 16
"""Bytes of a seed."""


def expanded(key: bytes, info: str) -> bytes:
    """HKDF (RFC 5869), SHA-256, no salt, 32 bytes."""
    return HKDF(SHA256(), 32, salt=None, info=info.encode("ascii")).derive(key)


class MaskingKey:
    """The private key of one site in one run."""

    def __init__(self, private: X25519PrivateKey) -> None:
        self._private = private

    @classmethod
    def generate(cls) -> MaskingKey:
        """A new key from the operating system's random numbers."""
        return cls(X25519PrivateKey.generate())

    @classmethod
    def of(cls, raw: bytes) -> MaskingKey:
        """The key of these 32 bytes."""
        return cls(X25519PrivateKey.from_private_bytes(raw))

    @classmethod
    def load(cls, path: Path) -> MaskingKey:
        """The key that `save` wrote. BadSetting if the file is damaged."""
        try:
            return cls.of(base64.b64decode(read_json(path)["private"], validate=True))
        except (KeyError, TypeError, ValueError) as error:
            raise BadSetting("the masking key of this run is damaged", hint="Restore the folder of the run") from error

    def save(self, path: Path) -> None:
        """Keep the key, readable by this user only."""
        write_json(path, {"private": base64.b64encode(self._private.private_bytes_raw()).decode()}, mode=0o600)

    @property
    def public(self) -> bytes:
        """The public key, 32 bytes."""
        return self._private.public_key().public_bytes_raw()

    def agreed(self, other: bytes) -> bytes:
        """The X25519 product with another public key, 32 bytes. BadMessage if it is zero."""
        try:
            return self._private.exchange(X25519PublicKey.from_public_bytes(other))
        except ValueError as error:
            raise BadMessage("a masking key is not usable", expected="a point of X25519 that is not weak") from error

    def content(self, run: str, site: str) -> Json:
        """What the site signs."""
        return {"masking": base64.b64encode(self.public).decode(), "run": run, "site": site}


def vouched(document: object, *, run: str, site: str, keys: PublicKeys) -> bytes:
    """The public masking key in a site's signed document, 32 bytes; BadMessage says what is wrong with it."""
    if not isinstance(document, str) or len(document) > LONGEST:
        raise BadMessage(f"the masking key of {site} is missing or too long", expected="a signed document")
    said = opened(SUBJECT, document.encode(), keys.signing)
    if set(said) != {"masking", "run", "site"} or said["run"] != run or said["site"] != site:
        raise BadMessage(f"the masking key of {site} was made for another run or site", hint="Tell the centre")
    try:
        public = base64.b64decode(said["masking"], validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise BadMessage(f"the masking key of {site} is not read", expected="32 bytes in base64") from error
    if len(public) != 32:
        raise BadMessage(f"the masking key of {site} is not read", expected="32 bytes in base64")
    return public


@dataclass(frozen=True)
class Group:
    """The sites of the recipe in charter order, with their public masking keys."""

    run: str
    keys: Mapping[str, bytes]

    @classmethod
    def of(cls, run: str, documents: Mapping[str, object], known: Mapping[str, PublicKeys]) -> Group:
        """The group of the recipe's `documents`; `known` are the charter's keys, in charter order. BadMessage."""
        if strangers := [site for site in documents if site not in known]:
            raise BadMessage(
                "the recipe names masking keys of sites that the charter does not name", got=strangers[0][:40]
            )
        return cls(run, {s: vouched(documents[s], run=run, site=s, keys=known[s]) for s in known if s in documents})

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The sites in the group's order."""
        return tuple(self.keys)

    @property
    def size(self) -> int:
        """m."""
        return len(self.keys)

    def sign(self, site: str, other: str) -> int:
        """With which sign `site` adds the mask of the pair."""
        return 1 if self.names.index(other) > self.names.index(site) else -1


@dataclass(frozen=True)
class RoundKeys:
    """What `me` shares with the others in one round."""

    key: MaskingKey
    group: Group
    me: str
    number: int

    def seed(self, other: str) -> bytes:
        """The pair's seed, 16 bytes; the other side gets the same."""
        return expanded(self._pair(other), "seed")[:SEED]

    def sealing(self, other: str, sender: str) -> bytes:
        """The key under which `sender` (me or the other) seals shares for the other of the two, 32 bytes."""
        return expanded(self._pair(other), f"shares from {sender}")

    def _pair(self, other: str) -> bytes:
        product = self.key.agreed(self.group.keys[other])
        return expanded(product, f"konsil-pair/1 {self.group.run} {self.number:04d}")
