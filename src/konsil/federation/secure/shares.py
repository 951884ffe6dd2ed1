"""The shares of a round: every site splits its seeds among the group, seals a row for each site, and commits to all.

Shamir: How to share a secret. Communications of the ACM 22 (1979), over GF(2^128), by PyCryptodome: any t shares give
the secret, fewer say nothing about it. A share that does not fit its commitment (SHA-256 of 128 bits that nobody can
guess) is noticed before anything is computed with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from Crypto.Protocol.SecretSharing import Shamir
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from konsil.errors import BadMessage
from konsil.federation.secure.keys import SEED, RoundKeys

Bytes = npt.NDArray[np.uint8]
TAG = 16
DIGEST = 32


def row_length(size: int) -> int:
    """Bytes of a sealed row in a group of that size."""
    return SEED * size + TAG


def shared(secrets: Sequence[bytes], threshold: int, keys: RoundKeys) -> tuple[Bytes, Bytes]:
    """The tensors `masked/shares` (m, 16 m + 16) and `masked/commitments` (m + 1, m, 32) of the m secrets."""
    size = keys.group.size
    split = [[bytes(share) for _, share in Shamir.split(threshold, size, secret)] for secret in secrets]
    rows = [[split[secret][site] for secret in range(size)] for site in range(size)]
    sealed = [_seal(b"".join(row), keys, name) for row, name in zip(rows, keys.group.names, strict=True)]
    digests = b"".join(digest(part) for row in [list(secrets), *rows] for part in row)
    commitments = np.frombuffer(digests, np.uint8).reshape(size + 1, size, DIGEST)
    return np.frombuffer(b"".join(sealed), np.uint8).reshape(size, row_length(size)), commitments


def opened_row(row: bytes, keys: RoundKeys, sender: str) -> list[bytes]:
    """My m shares of the secrets of `sender`. BadMessage if the row was not made for me, this round and this run."""
    size = keys.group.size
    try:
        cipher = ChaCha20Poly1305(keys.sealing(sender, sender))
        plain = cipher.decrypt(bytes(12), row, _about(keys, sender, keys.me))
    except InvalidTag as error:
        raise BadMessage(
            f"the shares of {sender} do not open", hint="They are of another round, or were changed"
        ) from error
    if len(plain) != SEED * size:
        raise BadMessage(f"the shares of {sender} are not one for every site", expected=f"{SEED * size} bytes")
    return [plain[begin : begin + SEED] for begin in range(0, len(plain), SEED)]


def combined(shares: Mapping[int, bytes], threshold: int, commitment: bytes) -> bytes:
    """The secret from shares by the number of their site (from 1). BadMessage for too few, or if it is another one."""
    if len(shares) < threshold:
        raise BadMessage("there are too few shares", expected=f"at least {threshold}", got=str(len(shares)))
    secret = bytes(Shamir.combine(sorted(shares.items())[:threshold]))
    if digest(secret) != commitment:
        raise BadMessage("the shares give another seed than the one that was promised")
    return secret


def digest(part: bytes) -> bytes:
    """SHA-256, 32 bytes."""
    return hashlib.sha256(part).digest()


def _seal(plain: bytes, keys: RoundKeys, receiver: str) -> bytes:
    cipher = ChaCha20Poly1305(keys.sealing(receiver, keys.me))
    return cipher.encrypt(bytes(12), plain, _about(keys, keys.me, receiver))


def _about(keys: RoundKeys, sender: str, receiver: str) -> bytes:
    return f"{keys.group.run} {keys.number:04d} {sender} {receiver}".encode("ascii")
