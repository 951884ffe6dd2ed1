"""What `konsil init` makes: secrets that differ, certificates that hold, nothing twice."""

import json
import stat
from pathlib import Path
from typing import NoReturn

import pytest
import typer
from cryptography import x509
from typer.testing import CliRunner

from konsil.cli.init import register
from konsil.errors import BadInput, KonsilError
from konsil.settings import Settings
from konsil.stack.container import become, configure
from konsil.stack.secrets import make
from konsil.stack.wishes import Wish, standing
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


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_nothing_is_written_over_and_nobody_else_can_enter(tmp_path: Path) -> None:
    make(TRIAL, tmp_path / "s")
    before = content(tmp_path / "s")
    assert make(TRIAL, tmp_path / "s") == {}
    assert content(tmp_path / "s") == before
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o700
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis").write_text("years of work")
    with pytest.raises(BadInput, match="nothing is written over"):
        make(TRIAL, tmp_path / "other")
    assert content(tmp_path / "other") == {"thesis": b"years of work"}


@pytest.mark.parametrize("profile", ["centre", "all-in-one"])
@pytest.mark.parametrize("named", [("B",), ("A", "B"), ("a", "B")])
def test_a_site_is_added_later_and_all_else_stays(profile: str, named: tuple[str, ...], tmp_path: Path) -> None:
    folder = tmp_path / "s"
    make(Wish(profile, "hospital.example", ("A",)), folder)
    (folder / "stack.env").write_text((folder / "stack.env").read_text() + "KONSIL_A_UI=8444")
    (folder / "centre" / "tls" / "server.crt").chmod(0o644)
    (folder / "centre" / "tls" / "server.crt").write_text("the hospital's own")
    before = content(folder)
    logins = make(Wish(profile, "", named), folder)
    after = content(folder)
    old, new = (json.loads(each.pop("store/users.json"))["users"] for each in (before, after))
    assert {name: new[name] for name in old} == old
    assert set(new) - set(old) == {"site-b"}
    assert new["site-b"]["secret"].encode() == after["store/site-b.key"]
    old, new = (json.loads(each.pop("store/seaweedfs.json"))["identities"] for each in (before, after))
    assert [one for one in new if one["name"] != "site-b"] == old
    assert {name: after[name] for name in before} == before
    assert set(logins) == (set() if profile == "centre" else {"B"})
    found = standing(folder)
    assert found is not None
    assert (found.profile, found.host, [site.upper() for site in found.sites]) == (
        profile,
        "hospital.example",
        ["A", "B"],
    )


def test_the_workers_image_is_named_by_digest_and_stays(tmp_path: Path) -> None:
    digest = "sha256:" + "0af" * 21 + "b"
    for number, reference in enumerate((digest, f"registry.example:5000/konsil/worker@{digest}")):
        folder = tmp_path / str(number)
        make(Wish("site", "h.example", ("A",), reference), folder)
        assert f"KONSIL_WORKER_IMAGE={reference}\n" in (folder / "stack.env").read_text()
        assert Settings(image=reference).image == digest
        before = content(folder)
        make(Wish("site", "", ("A",)), folder)
        with pytest.raises(BadInput, match="another worker image"):
            make(Wish("site", "", ("A",), "sha256:" + "1" * 64), folder)
        assert content(folder) == before
    with pytest.raises(BadInput, match="not pinned"):
        make(Wish("site", "h.example", ("A",), "konsil/worker:1"), tmp_path / "tag")
    assert not (tmp_path / "tag").exists()


def test_a_container_whose_image_is_not_a_digest_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KONSIL_IMAGE", "konsil/worker:1")
    with pytest.raises(KonsilError, match="KONSIL_IMAGE is not usable"):
        become("scheduler", tmp_path / "no-secret", tmp_path / "run")


def test_what_an_interrupted_run_left_out_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    make(TRIAL, folder)
    whole = content(folder)
    for name in ("c/database", "ca.pem", "stack.env", "store/site-b.policy.json", "a/tls/server.crt"):
        (folder / name).unlink()
    assert make(TRIAL, folder) == {}
    found = content(folder)
    assert set(found) == set(whole)
    assert {name for name in whole if found[name] != whole[name]} == {"a/tls/server.crt", "a/tls/server.key"}


@pytest.mark.parametrize(
    ("wish", "word"),
    [
        (Wish("centre", "", ("A",)), "another profile"),
        (Wish("all-in-one", "elsewhere.example", ("A",)), "another host"),
        (Wish("all-in-one", "", ("A", "D")), "number"),
        (Wish("all-in-one", "", ("../D",)), "name"),
    ],
)
def test_a_stack_is_not_turned_into_another(wish: Wish, word: str, tmp_path: Path) -> None:
    make(TRIAL, tmp_path / "s")
    before = content(tmp_path / "s")
    with pytest.raises(BadInput, match=word):
        make(wish, tmp_path / "s")
    assert content(tmp_path / "s") == before


def test_the_verb_says_what_it_kept_and_what_it_added(tmp_path: Path) -> None:
    register(app := typer.Typer())
    words = ["init", "all-in-one", "--dir", str(tmp_path / "s"), "--sites"]
    first = CliRunner().invoke(app, [*words, "A,B"])
    assert "--profile centre --profile site --profile site-b up" in first.stderr
    again = CliRunner().invoke(app, [*words, "A,B"])
    later = CliRunner().invoke(app, [*words, "C"])
    assert len(first.stdout.splitlines()) == 2 + 2 * 4
    assert "Kept" not in first.stderr
    assert again.stdout == ""
    assert "Kept as they were: A, B." in again.stderr
    assert "Added: no site." in again.stderr
    assert {line.split()[0] for line in later.stdout.splitlines()} == {"C"}
    assert "Added: C." in later.stderr
    assert "restart minio" in later.stderr
    assert "stack.env --profile all-in-one up" in later.stderr


def test_the_trials_orthanc_knows_one_password_and_it_is_new(tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        make(TRIAL, tmp_path / name)
        settings_of = json.loads((tmp_path / name / "pacs" / "orthanc.json").read_text())
        assert settings_of["AuthenticationEnabled"] is True
        assert settings_of["DicomServerEnabled"] is False, "C-STORE asks for no password"
        password = (tmp_path / name / "pacs" / "password").read_text()
        assert settings_of["RegisteredUsers"] == {"konsil": password}
        assert len(password) >= 20
        found.append(password)
    assert found[0] != found[1]
    make(Wish("centre", "h.example", ("A",)), tmp_path / "centre")
    assert not (tmp_path / "centre" / "pacs").exists()


def test_a_site_alone_gets_no_store_and_a_sites_key_opens_its_bucket_only(tmp_path: Path) -> None:
    make(Wish("site", "hospital.example", ("North",)), tmp_path / "site")
    assert not (tmp_path / "site" / "store").exists()
    assert not (tmp_path / "site" / "centre").exists()
    make(Wish("centre", "centre.example", ("North", "South")), tmp_path / "centre")
    users = json.loads((tmp_path / "centre" / "store" / "users.json").read_text())["users"]
    assert users["site-north"]["buckets"] == {"site-north": "rw", "global": "ro"}
    assert users["centre"]["buckets"] is None
    assert not (tmp_path / "centre" / "a").exists()


def test_seaweedfs_gets_the_same_users_and_a_site_that_came_later(tmp_path: Path) -> None:
    make(Wish("centre", "hospital.example", ("A",)), tmp_path / "s")
    store = tmp_path / "s" / "store"
    for sites in (("A",), ("A", "B")):
        make(Wish("centre", "hospital.example", sites), tmp_path / "s")
        users = json.loads((store / "users.json").read_text())["users"]
        found = {one["name"]: one for one in json.loads((store / "seaweedfs.json").read_text())["identities"]}
        assert set(found) == {"centre", *(f"site-{site.lower()}" for site in sites)}
        for name, one in found.items():
            assert one["credentials"] == [{"accessKey": name, "secretKey": users[name]["secret"]}]
    assert "Admin" in found["centre"]["actions"]
    buckets = {action.partition(":")[2] for action in found["site-b"]["actions"]}
    assert buckets == {"site-b", "global"}, "no deed without a bucket"
    assert not {"Write:global", "Tagging:global"} & set(found["site-b"]["actions"])


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


def test_a_containers_api_server_gets_a_fresh_worker_and_opens_no_other_door(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    became: list[tuple[list[str], dict[str, str]]] = []

    def become_it(path: str, words: list[str], environment: dict[str, str]) -> NoReturn:
        became.append((words, environment))
        raise SystemExit

    monkeypatch.setenv("KONSIL_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("konsil.stack.container.await_database", lambda component, environment: None)
    monkeypatch.setattr("konsil.stack.container.os.execve", become_it)
    make(Wish("site", "localhost", ("A",)), tmp_path / "s")
    with pytest.raises(SystemExit):
        become("api-server", tmp_path / "s" / "a" / "place.json", tmp_path / "run")
    ((words, environment),) = became
    assert words[-2:] == ["api-server", "--proxy-headers"]
    assert environment["GUNICORN_CMD_ARGS"] == "--no-control-socket"
    found = settings(configure(tmp_path / "s" / "a" / "place.json", tmp_path / "run"))
    assert (found["api"]["server_type"], found["api"]["worker_refresh_interval"]) == ("gunicorn", "43200")
