"""The centre's certificate authority: one authority, certificates for one name, readable by nobody else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from konsil.trust.authority import RENEW_DAYS, Authority


def chain_holds(authority: Authority, certificate: x509.Certificate, name: str) -> bool:
    """RFC 5280 path validation by the cryptography package."""
    builder = PolicyBuilder().store(Store([authority.certificate]))
    try:
        builder.build_server_verifier(x509.DNSName(name)).verify(certificate, [])
    except VerificationError:
        return False
    return True


def certificate(folder) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / "server.crt").read_bytes())


def test_the_authority_is_made_once(tmp_path):
    assert Authority(tmp_path).pem == Authority(tmp_path).pem
    assert (tmp_path / "authority" / "authority.key").stat().st_mode & 0o777 == 0o600


def test_a_certificate_is_good_for_its_name_only(tmp_path):
    authority = Authority(tmp_path)
    authority.certify("store.example.org", tmp_path)
    assert chain_holds(authority, certificate(tmp_path), "store.example.org")
    assert not chain_holds(authority, certificate(tmp_path), "other.example.org")
    assert not chain_holds(Authority(tmp_path / "other"), certificate(tmp_path), "store.example.org")
    assert (tmp_path / "server.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("host", "again", "same"), [("a.org", "a.org", True), ("a.org", "b.org", False)])
def test_a_good_certificate_is_kept(tmp_path, host, again, same):
    authority = Authority(tmp_path)
    authority.certify(host, tmp_path)
    first = certificate(tmp_path)
    authority.certify(again, tmp_path)
    assert (certificate(tmp_path) == first) is same


def test_a_certificate_that_ends_soon_is_renewed(tmp_path, monkeypatch):
    authority = Authority(tmp_path)
    monkeypatch.setattr("konsil.trust.authority.SERVER_DAYS", RENEW_DAYS - 1)
    authority.certify("a.org", tmp_path)
    monkeypatch.undo()
    authority.certify("a.org", tmp_path)
    assert certificate(tmp_path).not_valid_after_utc > datetime.now(UTC) + timedelta(days=RENEW_DAYS)


def test_an_address_is_certified_as_an_address(tmp_path):
    Authority(tmp_path).certify("192.0.2.7", tmp_path)
    names = certificate(tmp_path).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(found) for found in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.7"]
