"""How servers are reached, and what is done about those that differ."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from konsil.dicom.arrivals import Arrivals
from konsil.dicom.dicomweb import Access, Denied, Server
from konsil.dicom.fetch import fetch
from konsil.dicom.wishes import Wish
from konsil.errors import BadSetting, Missing
from konsil.types import Outcome

Writer = Callable[..., str]


def connect(pacs: Any, **access: object) -> Server:
    return Server(Access(pacs.url, timeout_s=5, pause_s=0, **access))


def get(pacs: Any, inbox: Path, *studies: str) -> Outcome:
    wishes = [Wish(f"line {number}", study) for number, study in enumerate(studies, start=1)]
    with Arrivals(inbox) as arrivals:
        return fetch(connect(pacs), wishes, arrivals)


def test_a_busy_server_is_asked_again(pacs: Any, fill: Writer, tmp_path: Path) -> None:
    fill("1.2.3", skip=16)
    pacs.faults["once:503"] = "/series"
    assert get(pacs, tmp_path, "1.2.3").exit_code == 0


def test_a_server_without_the_wildcard_is_asked_without_it(pacs: Any, fill: Writer, tmp_path: Path) -> None:
    fill("1.2.3", skip=16)
    pacs.faults["406"] = "/"
    assert get(pacs, tmp_path, "1.2.3").exit_code == 0


def test_a_server_that_ignores_the_offset_does_not_keep_us_for_ever(pacs: Any, fill: Writer) -> None:
    for number in range(3):
        fill(f"1.2.{number}", skip=17)
    pacs.faults["stuck"] = "/"
    assert len(connect(pacs).studies({})) == 3


@pytest.mark.parametrize(
    ("secret", "access"),
    [
        ("Bearer right", {"token": "right"}),
        ("Basic " + base64.b64encode("jörg:pass:wörd".encode()).decode(), {"user": "jörg", "password": "pass:wörd"}),
    ],
)
def test_the_right_credentials_open_the_server(
    pacs: Any, fill: Writer, secret: str, access: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also where a .netrc would say otherwise."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login other password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    fill("1.2.3", skip=17)
    pacs.secret = secret
    assert len(connect(pacs, **access).studies({})) == 1


@pytest.mark.parametrize(
    "url", ["", "pacs", "ftp://pacs/x", "https://", "https://user:pa55@pacs/dw", "https://a/b?c=d"]
)
def test_an_unusable_address_is_a_sentence(url: str) -> None:
    with pytest.raises(BadSetting) as caught:
        Server(Access(url))
    assert "pa55" not in str(caught.value)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 that nobody else has signed, with its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "PACS")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 7, now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    content = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (tmp_path / "pacs.pem").write_bytes(content + made.public_bytes(serialization.Encoding.PEM))
    return tmp_path / "pacs.pem"


def test_a_certificate_is_checked_against_the_authority_that_was_given(
    pacs: Any, fill: Writer, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill("1.2.3", skip=17)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    pacs.server.socket = context.wrap_socket(pacs.server.socket, server_side=True)
    pacs.url = pacs.url.replace("http:", "https:")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))  # only the settings count
    with pytest.raises(Denied, match="certificate is not trusted"):
        connect(pacs).studies({})
    assert len(connect(pacs, ca_file=certificate).studies({})) == 1
    with pytest.raises(Missing):
        connect(pacs, ca_file=certificate.with_name("gone"))
