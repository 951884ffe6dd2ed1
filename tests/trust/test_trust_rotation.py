"""A rotation is believed from the old key only, for its party only, and only where the new key is really held."""

from __future__ import annotations

import base64

import pytest

from konsil.errors import BadMessage, BadSetting
from konsil.trust.identity import Identity
from konsil.trust.past import Past, keep_past, read_past
from konsil.trust.roster import Roster, gather
from konsil.trust.rotation import SUBJECT, place_of, rotation, successor
from konsil.trust.signed import sign

OLD, STRANGER = Identity.generate(), Identity.generate()
NEW = OLD.successor()
DIGEST, OTHER = "a" * 64, "b" * 64


def claim(**changes: object) -> bytes:
    """A rotation that the old key signed, with some fields changed."""
    import json

    document = rotation("A", OLD, NEW, [DIGEST])
    return sign(SUBJECT, {**json.loads(document.split(b"\n", 2)[2]), **changes}, OLD)


def test_the_old_key_names_its_successor():
    found = successor(rotation("A", OLD, NEW, [OTHER, DIGEST]), "A", OLD.public)
    assert (found.keys, found.letters) == (NEW.public, (DIGEST, OTHER))


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (rotation("A", STRANGER, NEW, []), "signature is not that"),
        (rotation("B", OLD, NEW, []), "another party"),
        (claim(replaces=NEW.public.model_dump()), "another party, or replaces other keys"),
        (claim(keys=STRANGER.public.model_dump()), "does not hold the keys"),
        (claim(possession=base64.b64encode(b"x" * 64).decode()), "does not hold the keys"),
        (claim(possession="no base64"), "does not hold the keys"),
        (claim(keys={"age": "age1x", "signing": ""}), "fields are wrong"),
        (claim(urgent=True), "fields are wrong"),
        (b"konsil-rotation/2\n", "unknown format"),
        (b"", "unknown format"),
    ],
)
def test_everything_else_is_refused(document, words):
    with pytest.raises(BadMessage, match=words):
        successor(document, "A", OLD.public)


def test_every_changed_byte_is_noticed():
    document = rotation("A", OLD, NEW, [DIGEST])
    for place in range(0, len(document), 3):
        with pytest.raises(BadMessage):
            successor(document[:place] + bytes([document[place] ^ 1]) + document[place + 1 :], "A", OLD.public)


def test_a_successor_lies_where_only_its_predecessor_leads():
    assert place_of(OLD.public) != place_of(NEW.public)
    assert place_of(OLD.public).startswith("_konsil/keys/")


def test_who_may_sign_what():
    _, roster = gather(["A", "B"])
    old = roster.keys_of("A").signing
    roster = roster.rotated("A", NEW.public, [DIGEST])
    assert roster.signers_of("A", DIGEST) == (old,)
    assert roster.signers_of("A", OTHER) == (NEW.public.signing,)
    assert roster.signers_of("A", OTHER, pinned=True) == (NEW.public.signing, old)
    gone = roster.without("A")
    assert gone.signers_of("A", OTHER) == ()
    assert set(gone.signers_of("A", OTHER, pinned=True)) == {old, NEW.public.signing}
    assert gone.as_json().keys() == {"centre", "sites"}  # what is published has not changed
    with pytest.raises(BadSetting, match="not in the roster"):
        gone.keys_of("A")
    again = gone.with_site("A", STRANGER.public)
    assert (again.revoked, again.signers_of("A", OTHER)) == ((), (STRANGER.public.signing,))


def test_the_past_is_kept_beside_the_roster(tmp_path):
    identities, roster = gather(["A"])
    roster.rotated("A", NEW.public, [DIGEST]).without("A").save(tmp_path)
    assert Roster.load(tmp_path).signers_of("A", DIGEST) == (identities["A"].public.signing,)
    keep_past(tmp_path, "B", Past(retired=("x",)))
    assert set(read_past(tmp_path)) == {"A", "B"}
    (tmp_path / "keys" / "past.json").write_text('{"A": {"retired": 3}}')
    with pytest.raises(BadSetting, match=r"past\.json is damaged"):
        read_past(tmp_path)


def test_a_roster_of_an_older_version_is_read(tmp_path):
    _, roster = gather(["A"])
    (tmp_path / "roster.json").write_text(
        Roster(centre=roster.centre, sites=roster.sites).model_dump_json(exclude={"revoked"})
    )
    assert Roster.load(tmp_path) == roster


def test_old_keys_open_what_was_sealed_for_them(tmp_path):
    NEW.successor().save(tmp_path)
    held = Identity.load(tmp_path)
    assert [str(key.to_public()) for key in held.openers[1:]] == [NEW.public.age, OLD.public.age]
    assert (tmp_path / "keys" / "identity.json").stat().st_mode & 0o777 == 0o600
