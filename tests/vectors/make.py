"""Makes the test vectors of docs/formats/federation.md: python tests/vectors/make.py [NAME ...]

One JSON file per case: `about`, the party that looks (`me`), `expect` ("accepted", "refused when listed", "refused when
opened" or "first stands"), words of the sentence, and the objects in A's bucket (base64). The keys in keys.json belong
to nobody and protect nothing. age uses fresh random numbers, so making the vectors again changes their bytes but not
their outcome.
"""

from __future__ import annotations

import base64
import hashlib
import json
import pickle
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import TypeAlias

import numpy as np

from konsil.federation.mailbox_scan import manifest_key, payload_key
from konsil.federation.manifest import SUBJECT, Manifest
from konsil.federation.payload import TensorSource, table_of
from konsil.federation.slot import Kind, Slot
from konsil.trust.envelope import seal
from konsil.trust.identity import Identity
from konsil.trust.rotation import place_of, rotation
from konsil.trust.signed import digest, first_line, sign
from konsil.types import Json

HERE = Path(__file__).parent
RUN = "vector-run"
SLOT = Slot(Kind.update, "A", 1)
TENSORS = {"conv.weight": np.arange(12, dtype=np.float32).reshape(3, 4), "steps": np.array(25, dtype=np.int64)}


def keys() -> dict[str, Identity]:
    """The test-only identities of centre, A, B and a stranger."""
    held = json.loads((HERE / "keys.json").read_text())
    return {name: Identity(pair["age"], base64.b64decode(pair["signing"])) for name, pair in held.items()}


def plain(tensors: dict[str, np.ndarray] = TENSORS) -> bytes:
    """The safetensors file, before sealing."""
    source = TensorSource(tensors)
    return b"".join(iter(lambda: source.read(8192), b""))


def sealed(content: bytes, *names: str) -> bytes:
    """An age file for these parties."""
    sink = BytesIO()
    seal(BytesIO(content), sink, [keys()[name].public.age for name in names])
    return sink.getvalue()


def manifest(payload: bytes, **changes: object) -> Json:
    """The content of an honest manifest of A's update of round 1, with `changes`."""
    honest = Manifest(
        run=RUN,
        kind=SLOT.kind,
        round=SLOT.round,
        sender="A",
        recipients=("A", "centre"),
        payload_sha256=hashlib.sha256(payload).hexdigest(),
        payload_size=len(payload),
        tensors=table_of(TENSORS),
        facts={"cases": 8, "steps": 25, "metrics": {"loss": 0.25}},
        created="2026-11-21T06:00:00Z",
        software={"konsil": "0.1.0"},
    ).as_json()
    return {**honest, **changes}


def signed(content: Json, signer: str = "A") -> bytes:
    """The manifest as it is stored."""
    return sign(SUBJECT, content, keys()[signer])


def objects(document: bytes, payload: bytes, slot: Slot = SLOT) -> dict[str, bytes]:
    """Both objects under the keys that belong to them, in A's bucket."""
    return {
        payload_key(RUN, slot, hashlib.sha256(payload).hexdigest()): payload,
        manifest_key(RUN, slot, digest(SUBJECT, document)): document,
    }


def honest() -> dict[str, bytes]:
    """A good message."""
    payload = sealed(plain(), "A", "centre")
    return objects(signed(manifest(payload)), payload)


def bent(change: Callable[[bytes], bytes]) -> dict[str, bytes]:
    """A good message whose payload was changed in the bucket afterwards."""
    return {key: change(held) if "payload" in key else held for key, held in honest().items()}


def lying(payload: bytes, **changes: object) -> dict[str, bytes]:
    """A message whose own sender signed something that is not so."""
    return objects(signed(manifest(payload, **changes)), payload)


def another(length: int) -> bytes:
    """Another good age file of the same content and length (age adds a random stanza, so lengths vary)."""
    while len(found := sealed(plain(), "A", "centre")) != length:
        continue
    return found


def flipped(content: bytes) -> bytes:
    """One bit of the last chunk changed."""
    return content[:-20] + bytes([content[-20] ^ 1]) + content[-19:]


def raw_signed(body: bytes) -> bytes:
    """A document whose body is not what `canonical` writes, but well signed."""
    head = first_line(SUBJECT)
    return head + base64.b64encode(keys()["A"].sign(head + body)) + b"\n" + body


Cases: TypeAlias = dict[str, tuple[str, str, str, dict[str, bytes]]]  # about, expected outcome, sentence, objects
LISTED, OPENED = "refused when listed", "refused when opened"


def cases() -> Cases:
    """Every case by name."""
    return {**in_the_bucket(), **in_the_envelope(), **in_the_manifest(), **replayed(), **after_a_rotation()}


def in_the_bucket() -> Cases:
    """Objects that were changed after they had been posted."""
    return {
        "valid": ("an honest update", "accepted", "", honest()),
        "payload_flipped": (
            "one bit of the payload changed in the bucket",
            OPENED,
            "bytes were changed",
            bent(flipped),
        ),
        "payload_truncated": (
            "the payload's last byte removed in the bucket",
            LISTED,
            "another size",
            bent(lambda c: c[:-1]),
        ),
        "payload_trailing": (
            "a byte added to the payload in the bucket",
            LISTED,
            "another size",
            bent(lambda c: c + b"\0"),
        ),
        "payload_replaced": (
            "another good age file of the same size in its place",
            OPENED,
            "its hash differs",
            bent(lambda content: another(len(content))),
        ),
        "payload_gone": (
            "manifest without payload",
            LISTED,
            "has no payload",
            {key: held for key, held in honest().items() if "manifest" in key},
        ),
    }


def in_the_envelope() -> Cases:
    """Payloads that their own sender signed, but that are not what they should be."""
    good = sealed(plain(), "A", "centre")
    other = {"conv.weight": TENSORS["conv.weight"].astype(np.float64), "steps": TENSORS["steps"]}
    pickled = sealed(pickle.dumps({"conv.weight": [0.5] * 100}), "A", "centre")
    return {
        "age_flipped": ("the sender signed a damaged age file", OPENED, "bytes were changed", lying(flipped(good))),
        "age_truncated": (
            "the sender signed an age file without its end",
            OPENED,
            "cannot be opened",
            lying(good[:-40]),
        ),
        "age_trailing": (
            "the sender signed an age file with a byte after its end",
            OPENED,
            "cannot be opened",
            lying(good + b"\0"),
        ),
        "age_wrong_key": (
            "sealed for a stranger, not for the recipients named",
            OPENED,
            "not sealed for this party",
            lying(sealed(plain(), "stranger")),
        ),
        "not_age": ("the payload is the plain safetensors file", OPENED, "not an age file", lying(plain())),
        "pickle": ("a pickle in the envelope", OPENED, "does not hold the tensors", lying(pickled)),
        "tensor_dtype": (
            "F64 inside, F32 in the manifest",
            OPENED,
            "does not hold the tensors",
            lying(sealed(plain(other), "A", "centre")),
        ),
        "tensor_missing": (
            "one tensor fewer inside",
            OPENED,
            "does not hold the tensors|ends before",
            lying(sealed(plain({"steps": TENSORS["steps"]}), "A", "centre")),
        ),
        "tensor_trailing": (
            "bytes after the last tensor",
            OPENED,
            "goes on after",
            lying(sealed(plain() + b"\0", "A", "centre")),
        ),
        "tensor_cut": (
            "the last tensor is cut short",
            OPENED,
            "ends before",
            lying(sealed(plain()[:-1], "A", "centre")),
        ),
    }


def in_the_manifest() -> Cases:
    """Manifests that are signed by the wrong party, misplaced, or say what cannot be."""
    good = sealed(plain(), "A", "centre")
    document = signed(manifest(good))
    long_table = {"names": ["conv.weight"], "shapes": [[1 << 39]], "dtypes": ["F32"]}
    indented = json.dumps(manifest(good), indent=1, sort_keys=True).encode()
    newer = document.replace(b"konsil-manifest/1", b"konsil-manifest/2")
    second = manifest(good, facts={"cases": 9})
    return {
        "table_too_large": ("a table that claims 2 TiB", LISTED, "more numbers than", lying(good, tensors=long_table)),
        "wrong_run": ("a message of another run", LISTED, "another run", lying(good, run="other-run")),
        "wrong_round": ("a message of another round", LISTED, "another round", lying(good, round=2)),
        "round_true": ("round true instead of 1", LISTED, "another form", lying(good, round=True)),
        "wrong_kind": ("a message of another kind", LISTED, "another kind", lying(good, kind="baseline")),
        "wrong_sender": ("A says it is B", LISTED, "another sender", lying(good, sender="B")),
        "wrong_bucket": (
            "an update in B's name in A's bucket",
            LISTED,
            "not its sender's",
            objects(signed(manifest(good, sender="B"), "B"), good, Slot(Kind.update, "B", 1)),
        ),
        "wrong_signer": (
            "signed by B in A's place",
            LISTED,
            "not that of its sender",
            objects(signed(manifest(good), "B"), good),
        ),
        "unknown_place": (
            "a message where none belongs",
            LISTED,
            "where no message belongs",
            {key.replace("updates", "upgrades"): held for key, held in honest().items()},
        ),
        "unknown_version": (
            "format version 2",
            LISTED,
            "unknown format or version",
            {payload_key(RUN, SLOT, manifest(good)["payload_sha256"]): good, manifest_key(RUN, SLOT, "0" * 64): newer},
        ),
        "unknown_field": ("a field that version 1 does not have", LISTED, "fields are wrong", lying(good, urgent=True)),
        "not_addressed": ("addressed to B only", LISTED, "not addressed to centre", lying(good, recipients=["A", "B"])),
        "not_canonical": (
            "well signed, but indented JSON",
            LISTED,
            "canonical form",
            objects(raw_signed(indented), good),
        ),
        "manifest_trailing": ("bytes after the JSON", LISTED, "not that of its sender", objects(document + b" ", good)),
        "manifest_renamed": (
            "the right content under another name",
            LISTED,
            "name of its content",
            {key.replace("manifest-", "manifest-0"): held for key, held in honest().items()},
        ),
        "equivocation": (
            "two different good messages in one slot",
            "first stands",
            "second, different message",
            {**honest(), **objects(signed(second), good)},
        ),
    }


def replayed() -> Cases:
    """Good messages at another place, and manifests that were changed in the bucket."""
    held = honest()
    payload = next(content for key, content in held.items() if "payload" in key)
    document = next(content for key, content in held.items() if "manifest" in key)
    elsewhere = {"round": "rounds/0002/updates/A", "kind": "baselines/A"}
    copied = {
        f"replayed_{what}": (
            f"an honest update, copied to the place of another {what}",
            LISTED,
            f"another {what}",
            {key.replace(SLOT.place, place): content for key, content in held.items()},
        )
        for what, place in elsewhere.items()
    }
    other = sealed(plain(), "A", "centre")
    foreign = signed(manifest(other, run="other-run"))
    return {
        **copied,
        "replayed_run": ("an honest update of another run, copied", LISTED, "another run", objects(foreign, other)),
        "manifest_flipped": (
            "one bit of the manifest's JSON changed in the bucket",
            LISTED,
            "not that of its sender",
            objects(document[:-9] + bytes([document[-9] ^ 1]) + document[-8:], payload),
        ),
        "manifest_truncated": (
            "the end of the manifest removed in the bucket",
            LISTED,
            "not that of its sender",
            objects(document[:-9], payload),
        ),
    }


def after_a_rotation() -> Cases:
    """A has replaced its keys by those that keys.json calls the stranger's."""
    old, new = keys()["A"], keys()["stranger"]
    held = honest()
    document = next(content for key, content in held.items() if "manifest" in key)
    vouched = {place_of(old.public): rotation("A", old, new, [digest(SUBJECT, document)])}
    silent = {place_of(old.public): rotation("A", old, new, [])}
    forged = {place_of(old.public): rotation("A", keys()["B"], new, [])}
    good = sealed(plain(), "A", "centre")
    by_new = objects(signed(manifest(good), "stranger"), good)
    return {
        "rotation_vouched": ("an old message that the rotation names", "accepted", "", {**held, **vouched}),
        "rotation_new_key": ("a message signed with the new key", "accepted", "", {**by_new, **silent}),
        "rotation_old_key": (
            "a message of the old key that the rotation does not name",
            LISTED,
            "not that of its sender",
            {**held, **silent},
        ),
        "rotation_forged": ("a rotation signed by B", LISTED, "not that of its sender", {**by_new, **forged}),
    }


def write(*names: str) -> None:
    """Write every case beside this file, or those named."""
    for name, (about, expect, words, held) in cases().items():
        if names and name not in names:
            continue
        encoded = {key: base64.b64encode(content).decode() for key, content in held.items()}
        case = {"about": about, "me": "centre", "expect": expect, "sentence": words, "site-a": encoded}
        (HERE / f"{name}.json").write_text(json.dumps(case, indent=1) + "\n")


if __name__ == "__main__":
    write(*sys.argv[1:])
