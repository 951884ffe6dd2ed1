"""What `konsil init` makes: secrets that differ, certificates that hold, nothing twice."""

import json
import stat
from pathlib import Path

import pytest
from cryptography import x509

from konsil.errors import BadInput
from konsil.stack.container import configure
from konsil.stack.secrets import Wish, make
from tests.stack.test_stack_configuration import settings

TRIAL = Wish("all-in-one", "hospital.example", ("A", "B", "C"))


def test_every_secret_of_a_trial_is_its_own(tmp_path: Path) -> None:
    logins = make(TRIAL, tmp_path / "s")
    places = [json.loads((tmp_path / "s" / slot / "place.json").read_text()) for slot in ("centre", "a", "b", "c")]
    named = [place[key] for place in places for key in ("database_password", "fernet_key", "secret_key", "jwt_secret")]
    shown = [password for accounts in logins.values() for password in accounts.values()]
    users = json.loads((tmp_path / "s" / "store" / "users.json").read_text())["users"]
    made = named + shown + [user["secret"] for user in users.values()]
    assert len(set(made)) == len(made) == 16 + 2 + 3 * 4 + 4
    assert all(len(secret) >= 20 for secret in made)
    assert set(logins) == {"centre", "A", "B", "C"}


def test_nothing_is_written_over_and_nobody_else_can_enter(tmp_path: Path) -> None:
    make(TRIAL, tmp_path / "s")
    before = {path: path.read_bytes() for path in (tmp_path / "s").rglob("*") if path.is_file()}
    with pytest.raises(BadInput, match="not written over"):
        make(TRIAL, tmp_path / "s")
    assert {path: path.read_bytes() for path in (tmp_path / "s").rglob("*") if path.is_file()} == before
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o700


def test_a_site_alone_gets_no_store_and_a_sites_key_opens_its_bucket_only(tmp_path: Path) -> None:
    make(Wish("site", "hospital.example", ("North",)), tmp_path / "site")
    assert not (tmp_path / "site" / "store").exists()
    assert not (tmp_path / "site" / "centre").exists()
    make(Wish("centre", "centre.example", ("North", "South")), tmp_path / "centre")
    users = json.loads((tmp_path / "centre" / "store" / "users.json").read_text())["users"]
    assert users["site-north"]["buckets"] == {"site-north": "rw", "global": "ro"}
    assert users["centre"]["buckets"] is None
    assert not (tmp_path / "centre" / "a").exists()


def test_certificates_bear_the_names_people_and_sites_use(tmp_path: Path) -> None:
    make(TRIAL, tmp_path / "s")
    for folder, name in (("a", "hospital.example"), ("store", "store.konsil.internal")):
        certificate = x509.load_pem_x509_certificate((tmp_path / "s" / folder / "tls" / "server.crt").read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == [name]
        authority = x509.load_pem_x509_certificate((tmp_path / "s" / "ca.pem").read_bytes())
        certificate.verify_directly_issued_by(authority)


@pytest.mark.parametrize(
    ("wish", "word"),
    [
        (Wish("hospital", "h", ("A",)), "profile"),
        (Wish("site", "h", ("A", "B")), "number"),
        (Wish("all-in-one", "h", ()), "number"),
        (Wish("all-in-one", "h", ("../A",)), "name"),
    ],
)
def test_what_the_compose_file_has_no_services_for_is_refused(wish: Wish, word: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=word):
        make(wish, tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_a_container_writes_its_settings_from_the_secret(tmp_path: Path) -> None:
    logins = make(TRIAL, tmp_path / "s")
    place = configure(tmp_path / "s" / "b" / "place.json", tmp_path / "run")
    found = settings(place)
    given = json.loads((tmp_path / "s" / "b" / "place.json").read_text())
    assert found["database"]["sql_alchemy_conn"] == (
        f"postgresql+psycopg2://airflow:{given['database_password']}@db/airflow"
    )
    assert found["api"]["base_url"] == "https://hospital.example:8445/site-b"
    assert found["core"]["execution_api_server_url"] == "http://api:8080/site-b/execution/"
    assert found["api_auth"]["jwt_secret"] == given["jwt_secret"]
    assert json.loads((place.airflow_home / "passwords.json").read_text()) == logins["B"]
    assert stat.S_IMODE((place.airflow_home / "airflow.cfg").stat().st_mode) == 0o600
