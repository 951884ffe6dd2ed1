"""Keys are made once, stay at home, and have a fingerprint for the phone."""

from __future__ import annotations

import re

import pytest
from pydantic import ValidationError

from konsil.errors import BadSetting, Missing
from konsil.trust.identity import Identity, PublicKeys, spoken


def test_keys_are_made_once(tmp_path):
    assert Identity.keep(tmp_path).public == Identity.keep(tmp_path).public == Identity.load(tmp_path).public


def test_keys_are_for_this_user_only(tmp_path):
    Identity.keep(tmp_path)
    path = tmp_path / "keys" / "identity.json"
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    with pytest.raises(BadSetting, match="chmod 600"):
        Identity.load(tmp_path)


def test_a_home_without_keys_says_what_to_do(tmp_path):
    with pytest.raises(Missing, match="konsil site join"):
        Identity.load(tmp_path)


@pytest.mark.parametrize("content", ['{"age": "AGE-SECRET-KEY-1X", "signing": "AAAA"}', '{"age": 3}', "{}"])
def test_damaged_keys_are_a_sentence_without_the_key(tmp_path, content):
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "identity.json").write_text(content)
    (tmp_path / "keys" / "identity.json").chmod(0o600)
    with pytest.raises(BadSetting, match="damaged") as caught:
        Identity.load(tmp_path)
    assert "SECRET" not in caught.value.sentence


def test_fingerprints_are_sixteen_letters_in_four_groups():
    one, other = Identity.generate().public, Identity.generate().public
    assert re.fullmatch(r"([A-Z2-7]{4}-){3}[A-Z2-7]{4}", one.fingerprint)
    assert one.fingerprint != other.fingerprint
    assert spoken(b"") == "4OYM-IQUY-7QOB-JGX3"  # base32 of e3b0c44298fc1c149afb, the SHA-256 of nothing


@pytest.mark.parametrize("keys", [{"age": "age1x", "signing": "AAAA"}, {"age": "", "signing": ""}])
def test_public_keys_must_be_keys(keys):
    with pytest.raises(ValidationError):
        PublicKeys(**keys)


def test_private_keys_are_not_shown(tmp_path):
    identity = Identity.generate()
    assert "SECRET" not in repr(identity) + str(vars(identity).keys())
