"""Canonical JSON, signed documents, rosters and enrolments: read only if nothing was changed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from konsil.errors import BadMessage, BadSetting
from konsil.trust.canonical import canonical, parsed
from konsil.trust.enrolment import request, verified
from konsil.trust.identity import Identity
from konsil.trust.roster import Roster, bucket_of, checked_site, gather
from konsil.trust.signed import digest, opened, sign

ALICE, BOB = Identity.generate(), Identity.generate()
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_what_is_signed_is_what_is_opened(content):
    try:
        document = sign("note", content, ALICE)
    except UnicodeEncodeError:  # lone surrogates are no text
        return
    assert opened("note", document, ALICE.public.signing) == content


def test_the_canonical_form_is_fixed():
    assert canonical({"b": [1, 2.5, None], "a": "é"}) == '{"a":"é","b":[1,2.5,null]}'.encode()


@pytest.mark.parametrize(
    "content",
    [b'{"a":1,"a":1}', b'{"a": 1}', b'{"b":1,"a":1}', b'{"a":1} ', b'{"a":NaN}', b'{"a":1.0e0}', b"[1]", b"\xff", b""],
)
def test_other_spellings_are_refused(content):
    with pytest.raises(BadMessage, match="canonical"):
        parsed(content, "a note")


def test_every_changed_byte_is_noticed():
    document = sign("note", {"n": 1}, ALICE)
    for place in range(len(document)):
        changed = document[:place] + bytes([document[place] ^ 1]) + document[place + 1 :]
        with pytest.raises(BadMessage):
            opened("note", changed, ALICE.public.signing)


def test_every_cut_is_noticed():
    document = sign("note", {"n": 1}, ALICE)
    for length in range(len(document)):
        with pytest.raises(BadMessage):
            opened("note", document[:length], ALICE.public.signing)


def test_a_document_of_one_subject_or_sender_is_no_other():
    document = sign("note", {"n": 1}, ALICE)
    with pytest.raises(BadMessage, match="signature"):
        opened("note", document, BOB.public.signing)
    with pytest.raises(BadMessage, match="signature"):
        opened("poem", document.replace(b"note", b"poem"), ALICE.public.signing)


def test_the_digest_is_of_what_was_signed():
    assert digest("note", sign("note", {"n": 1}, ALICE)) == digest("note", sign("note", {"n": 1}, BOB))
    assert digest("note", sign("note", {"n": 1}, ALICE)) != digest("note", sign("note", {"n": 2}, ALICE))


def test_an_enrolment_needs_the_secret_and_the_site():
    document = request("A", ALICE.public, "secret")
    assert verified(document, "A", "secret") == ALICE.public
    with pytest.raises(BadMessage, match="does not fit its invitation"):
        verified(document, "A", "other")
    with pytest.raises(BadMessage, match="another site"):
        verified(document, "B", "secret")


def test_every_changed_byte_of_an_enrolment_is_noticed():
    document = request("A", ALICE.public, "secret")
    for place in range(len(document)):
        with pytest.raises(BadMessage):
            verified(document[:place] + bytes([document[place] ^ 1]) + document[place + 1 :], "A", "secret")


def test_a_roster_is_read_back_and_believed_from_the_centre_only(tmp_path):
    identities, roster = gather(["A", "B"])
    roster.save(tmp_path)
    assert Roster.load(tmp_path) == roster
    assert Roster.opened(roster.signed(identities["centre"]), roster.centre) == roster
    with pytest.raises(BadMessage, match="signature"):
        Roster.opened(roster.signed(identities["A"]), roster.centre)


def test_names_and_buckets():
    _, roster = gather(["A", "Basel-2"])
    assert roster.names == ["centre", "A", "Basel-2"]
    assert roster.buckets() == {"centre": "global", "A": "site-a", "Basel-2": "site-basel-2"}
    assert roster.without("A").names == ["centre", "Basel-2"]
    with pytest.raises(BadSetting, match="not in the roster"):
        roster.keys_of("C")


@pytest.mark.parametrize("name", ["", "centre", "Centre", "a b", "../x", "-a", "a" * 32, "A\n"])
def test_a_site_cannot_bear_every_name(name):
    with pytest.raises(BadSetting, match="cannot bear"):
        checked_site(name)


def test_names_that_share_a_bucket_are_one_name():
    assert bucket_of("a") == bucket_of("A")
    with pytest.raises(BadSetting, match="already"):
        checked_site("a", taken=["A"])
