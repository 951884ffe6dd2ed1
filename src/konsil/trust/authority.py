"""The centre's own certificate authority: so that a site talks to the centre's store and to no other.

An ECDSA P-256 key and a self-signed certificate (RFC 5280; path length 0, signs certificates only) in
`<home>/authority`, made once. From it comes the store's TLS certificate, for the name in the store's address. Sites
get the authority's certificate in their pass and trust nothing else.
"""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from konsil.files import write_bytes

AUTHORITY_DAYS = 3650
SERVER_DAYS = 397
RENEW_DAYS = 30
SKEW = timedelta(days=1)  # a site's clock may be behind


class Authority:
    """The authority kept in `<home>/authority`, made now if there is none."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "authority"
        if not (self._folder / "authority.pem").is_file():
            self._make()
        self._key = _read_key(self._folder / "authority.key")
        self.certificate = x509.load_pem_x509_certificate((self._folder / "authority.pem").read_bytes())

    @property
    def pem(self) -> str:
        """The authority's certificate, for site passes."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def certify(self, host: str, folder: Path) -> None:
        """Write `server.crt` and `server.key` for a host name or address into `folder`, unless good ones are there."""
        if self._is_good(folder / "server.crt", host):
            return
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        builder = _builder(host, key.public_key(), self.certificate.subject, now, SERVER_DAYS)
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = (
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(usage, critical=False)
            .add_extension(signer, critical=False)
            .add_extension(x509.SubjectAlternativeName(names_of(host)), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        _write_key(folder / "server.key", key)
        write_bytes(folder / "server.crt", certificate.public_bytes(serialization.Encoding.PEM))

    def _is_good(self, path: Path, host: str) -> bool:
        """Whether a certificate is ours, for this host, and lasts long enough."""
        if not path.is_file():
            return False
        found = x509.load_pem_x509_certificate(path.read_bytes())
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        lasts = found.not_valid_after_utc > datetime.now(UTC) + timedelta(days=RENEW_DAYS)
        return lasts and found.issuer == self.certificate.subject and list(names) == names_of(host)

    def _make(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("Konsil centre")
        certificate = (
            _builder("Konsil centre", key.public_key(), name, datetime.now(UTC), AUTHORITY_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_key(self._folder / "authority.key", key)
        write_bytes(self._folder / "authority.pem", certificate.public_bytes(serialization.Encoding.PEM))


def names_of(host: str) -> list[x509.GeneralName]:
    """The subject alternative names of a host: an address or a name; this machine gets all its usual names."""
    if host in {"localhost", "127.0.0.1", "::1"}:
        local = [ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1")]
        return [x509.DNSName("localhost"), *(x509.IPAddress(address) for address in local)]
    try:
        return [x509.IPAddress(ipaddress.ip_address(host))]
    except ValueError:
        return [x509.DNSName(host)]


def _builder(
    subject: str, key: ec.EllipticCurvePublicKey, issuer: x509.Name, now: datetime, days: int
) -> x509.CertificateBuilder:
    """What every certificate of ours has."""
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)  # noqa: S101 - we wrote it
    return key


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    write_bytes(path, key.private_bytes(pem, pkcs8, serialization.NoEncryption()), mode=0o600)
