"""What a place's Airflow is told, and that secrets are kept and hidden."""

import configparser
import stat
from pathlib import Path

import pytest

from konsil.stack.accounts import passwords
from konsil.stack.configuration import configure, environment
from konsil.stack.login import FAB, SIMPLE, is_fab
from konsil.stack.places import Place


@pytest.fixture
def site(tmp_path: Path) -> Place:
    return Place("A", 8081, tmp_path / "a")


def settings(place: Place) -> configparser.ConfigParser:
    found = configparser.ConfigParser(interpolation=None)
    found.read(place.airflow_home / "airflow.cfg")
    return found


def test_files_with_secrets_are_readable_by_the_owner_alone(site: Place) -> None:
    configure(site)
    for name in ("airflow.cfg", "passwords.json"):
        assert stat.S_IMODE((site.airflow_home / name).stat().st_mode) == 0o600


def test_keys_and_passwords_survive_a_second_start(site: Place) -> None:
    configure(site)
    first, words = settings(site), passwords(site)
    configure(site)
    assert passwords(site) == words
    for section, key in (("core", "fernet_key"), ("api", "secret_key"), ("api_auth", "jwt_secret")):
        assert settings(site)[section][key] == first[section][key]


def test_every_place_has_its_own_keys(tmp_path: Path, site: Place) -> None:
    other = Place("B", 8082, tmp_path / "b")
    configure(site)
    configure(other)
    assert settings(site)["api_auth"]["jwt_secret"] != settings(other)["api_auth"]["jwt_secret"]
    assert len(settings(site)["api_auth"]["jwt_secret"]) >= 64
    assert not set(passwords(site).values()) & set(passwords(other).values())


def test_a_changed_setting_reaches_an_old_place(site: Place) -> None:
    configure(site)
    configure(Place("A", 9999, site.folder))
    assert settings(site)["api"]["port"] == "9999"
    assert settings(site)["core"]["execution_api_server_url"] == "http://127.0.0.1:9999/site-a/execution/"


def test_where_metrics_go_is_kept(site: Place) -> None:
    configure(site)
    assert "metrics" in settings(site)
    assert dict(settings(site)["metrics"]) == {}
    text = (site.airflow_home / "airflow.cfg").read_text()
    (site.airflow_home / "airflow.cfg").write_text(text.replace("[metrics]", "[metrics]\nstatsd_on = True"))
    configure(site)
    assert settings(site)["metrics"]["statsd_on"] == "True"


def test_the_api_server_gets_a_fresh_worker_twice_a_day_and_opens_no_other_door(site: Place) -> None:
    configure(site)
    told = settings(site)["api"]
    assert (told["server_type"], told["workers"], told["worker_refresh_interval"]) == ("gunicorn", "1", "43200")
    assert told["worker_timeout"] == "600"
    assert environment(site, "m")["GUNICORN_CMD_ARGS"] == "--no-control-socket"


def test_nobody_outside_this_machine_is_served(site: Place) -> None:
    configure(site)
    assert settings(site)["api"]["host"] == "127.0.0.1"


def test_a_site_shows_its_own_dags_alone(site: Place, tmp_path: Path) -> None:
    centre = Place("centre", 8080, tmp_path / "centre")
    configure(site)
    configure(centre)
    shown = {place.name: {path.stem for path in (place.folder / "dags").glob("*.py")} for place in (site, centre)}
    assert shown["centre"] == {"run_federation", "aggregate_rounds", "extend_federation", "doctor"}
    assert shown["A"] == {
        "prepare_cohort", "join_federation", "train_rounds", "extend_federation", "predict", "doctor",
    }  # fmt: skip
    assert all(path.is_file() for path in (site.folder / "dags").iterdir())


def test_the_environment_of_whoever_starts_it_does_not_leak_in(site: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "mine")
    monkeypatch.setenv("KONSIL_HOME", "/mine")
    found = environment(site, "marker")
    assert "AIRFLOW__CORE__FERNET_KEY" not in found
    assert found["KONSIL_HOME"] == str(site.home)
    assert found["AIRFLOW_HOME"] == str(site.airflow_home)
    assert found["KONSIL_STACK"] == "marker"


def test_a_login_that_somebody_named_stays_as_another_database_does(site: Place) -> None:
    configure(site)
    assert settings(site)["core"]["auth_manager"] == SIMPLE
    assert not is_fab(site)
    path = site.airflow_home / "airflow.cfg"
    path.write_text(path.read_text().replace(SIMPLE, FAB))
    configure(site)
    assert settings(site)["core"]["auth_manager"] == FAB
    assert is_fab(site)
