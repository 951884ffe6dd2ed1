"""Makes the vectors of docs/formats/federation.md, section 11: python tests/vectors/masking/make.py

HKDF, ChaCha20 and Shamir's scheme are written out here after RFC 5869, RFC 8439 and the section, so that the code is
held against something else than itself. Three sites A, B, C (masking keys: 32 bytes 1, 2, 3); documents are signed with
keys of ../keys.json. `refused`: words of the sentence.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import runpy
import struct
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from konsil.trust.signed import sign

HERE = Path(__file__).parent
IDENTITIES = runpy.run_path(str(HERE.parent / "make.py"))["keys"]()
RUN, NAMES = "vector-run", "ABC"
PRIVATE = {name: X25519PrivateKey.from_private_bytes(bytes([place]) * 32) for place, name in enumerate(NAMES, 1)}
FIELD = (1 << 128) | 0b10000111


def hkdf(key: bytes, info: str) -> bytes:
    """RFC 5869, SHA-256, no salt, one block."""
    extracted = hmac.digest(bytes(32), key, "sha256")
    return hmac.digest(extracted, info.encode() + b"\x01", "sha256")


def chacha20(key: bytes, blocks: int) -> bytes:
    """RFC 8439, section 2.3, nonce 0, counter from 0."""
    made = b""
    for counter in range(blocks):
        start = [*struct.unpack("<4I", b"expand 32-byte k"), *struct.unpack("<8I", key), counter, 0, 0, 0]
        state = list(start)
        for _ in range(10):
            for a, b, c, d in ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
                               (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)):  # fmt: skip
                for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                    state[x] = (state[x] + state[y]) & 0xFFFFFFFF
                    mixed = state[z] ^ state[x]
                    state[z] = ((mixed << turn) | (mixed >> (32 - turn))) & 0xFFFFFFFF
        made += struct.pack("<16I", *((one + two) & 0xFFFFFFFF for one, two in zip(state, start, strict=True)))
    return made


def times(a: int, b: int) -> int:
    """The product in GF(2^128)."""
    product = 0
    for bit in range(128):
        if b >> bit & 1:
            product ^= a << bit
    for bit in range(product.bit_length() - 1, 127, -1):
        if product >> bit & 1:
            product ^= FIELD << (bit - 128)
    return product


def share(secret: bytes, slope: bytes, place: int) -> bytes:
    """The share of site number `place`, threshold 2."""
    return (times(int.from_bytes(slope), place) ^ int.from_bytes(secret)).to_bytes(16)


def pair(one: str, other: str, number: int) -> bytes:
    """Z of two sites in a round."""
    return hkdf(PRIVATE[one].exchange(PRIVATE[other].public_key()), f"konsil-pair/1 {RUN} {number:04d}")


def document(run: str = RUN, site: str = "A", signer: str = "A", raw: bytes | None = None) -> bytes:
    """A signed masking key."""
    public = raw or PRIVATE["A"].public_key().public_bytes_raw()
    said = {"masking": base64.b64encode(public).decode(), "run": run, "site": site}
    return sign("masking", said, IDENTITIES[signer])


def row(plain: bytes, number: int = 3, sender: str = "A", receiver: str = "B") -> bytes:
    """The sealed shares of one site for another."""
    key = hkdf(pair(sender, receiver, number), f"shares from {sender}")
    about = f"{RUN} {number:04d} {sender} {receiver}".encode()
    return ChaCha20Poly1305(key).encrypt(bytes(12), plain, about)


def key_cases() -> dict[str, dict[str, Any]]:
    """Documents with masking keys, read as A's."""
    good = document()
    cases = {
        "key": (good, ""),
        "key_truncated": (good[:-9], "signature"),
        "key_flipped": (good.replace(b'"run"', b'"rum"'), "signature"),
        "key_trailing": (good + b" ", "signature"),
        "key_other_run": (document(run="other-run"), "another run or site"),
        "key_replayed": (document(site="B"), "another run or site"),
        "key_wrong_signer": (document(signer="B"), "signature"),
        "key_unknown_version": (good.replace(b"masking/1", b"masking/2"), "version"),
        "key_short": (document(raw=bytes(31)), "32 bytes"),
        "key_weak": (document(raw=bytes(32)), "not usable"),
    }
    public = PRIVATE["A"].public_key().public_bytes_raw().hex()
    return {
        name: {"what": "key", "document": text.decode(), **({"refused": why} if why else {"public": public})}
        for name, (text, why) in cases.items()
    }


def row_cases() -> dict[str, dict[str, Any]]:
    """A's shares for B in round 3, as B reads them."""
    plain = bytes(range(48))
    good = row(plain)
    cases = {
        "row": (good, ""),
        "row_truncated": (good[:-1], "do not open"),
        "row_flipped": (good[:5] + bytes([good[5] ^ 1]) + good[6:], "do not open"),
        "row_trailing": (good + b"\0", "do not open"),
        "row_wrong_round": (row(plain, number=2), "do not open"),
        "row_for_another": (row(plain, receiver="C"), "do not open"),
        "row_replayed": (row(plain, sender="B", receiver="A"), "do not open"),  # B's own, sent back as A's
        "row_too_few": (row(plain[:32]), "not one for every site"),
        "row_empty": (b"", "do not open"),
    }
    return {
        name: {"what": "row", "row": sealed.hex(), **({"refused": why} if why else {"plain": plain.hex()})}
        for name, (sealed, why) in cases.items()
    }


def reveal_cases() -> dict[str, dict[str, Any]]:
    """What B reveals of a sum over A and B, C missing: shares of the self seeds and of the seeds with C."""
    shares = {
        owner: {name: hashlib.sha256(f"{owner}{name}".encode()).digest()[:16] for name in NAMES} for owner in "AB"
    }
    promised = {owner: [hashlib.sha256(held[name]).hexdigest() for name in NAMES] for owner, held in shares.items()}

    def said(**changes: dict[str, bytes]) -> dict[str, Any]:
        chosen = {owner: {owner: held[owner], "C": held["C"]} for owner, held in shares.items()} | changes
        return {"shares": {o: {n: base64.b64encode(s).decode() for n, s in held.items()} for o, held in chosen.items()}}

    own = {"A": shares["A"]["A"], "C": shares["A"]["C"]}
    cases = {
        "reveal": (said(), ""),
        "reveal_truncated": (said(A={**own, "C": own["C"][:15]}), "16 bytes"),
        "reveal_wrong_share": (said(A={**own, "C": bytes(16)}), "not the one"),
        "reveal_replayed": (said(A={"A": shares["B"]["B"], "C": own["C"]}), "not the one"),
        "reveal_too_much": (said(A={**own, "B": shares["A"]["B"]}), "no others"),
        "reveal_too_little": (said(A={"A": own["A"]}), "no others"),
        "reveal_unknown_field": ({**said(), "more": 1}, "no others"),
        "reveal_without_a_site": ({"shares": {"A": said()["shares"]["A"]}}, "no shares of B"),
        "reveal_of_a_missing_site": (said(C=own), "no others"),
    }
    return {
        name: {"what": "reveal", "content": content, "promised": promised, **({"refused": why} if why else {})}
        for name, (content, why) in cases.items()
    }


def number_cases() -> dict[str, dict[str, Any]]:
    """Arithmetic: masks, fixed point, shares."""
    seed, secret, slope = bytes(range(16)), bytes(range(100, 116)), bytes(range(200, 216))
    masks = chacha20(hkdf(seed, f"konsil-mask/1 {RUN} 0003"), 2)
    changes = [0.0, 1.0, -1.0, 8.0, -8.0, 9.5, -1e30, 2.0**-24, 1.5 * 2.0**-23, 2.5 * 2.0**-23]
    scale = 2**20  # 60 cases and a range of 8: 2^30 / 480 = 2236962.1
    whole = [round(5 * max(-8.0, min(8.0, change)) * scale * 2) % 2**32 for change in changes]
    return {
        "mask": {"what": "mask", "seed": seed.hex(), "round": 3, "numbers": list(struct.unpack("<32I", masks))},
        "ring": {"what": "ring", "cases": 60, "of_site": 5, "clip_range": 8, "scale": 2 * scale, "changes": changes,
                 "numbers": whole},
        "pair": {"what": "pair", "round": 3, "seed": hkdf(pair("A", "B", 3), "seed")[:16].hex()},
        "shares": {"what": "shares", "secret": secret.hex(),
                   "shares": [share(secret, slope, n).hex() for n in (1, 2, 3)]},
    }  # fmt: skip


def main() -> None:
    """Write one file per case."""
    for name, content in {**key_cases(), **row_cases(), **reveal_cases(), **number_cases()}.items():
        (HERE / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
