"""The S3 store against the real embedded server: views per key, errors as sentences, large objects as streams."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest

from konsil.errors import BadSetting, KonsilError, Missing, Unavailable
from konsil.storage.s3 import S3Store
from konsil.storage.server import StoreServer
from konsil.storage.users import Credentials, Users
from konsil.trust.authority import Authority


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def soon(look: Callable[[], list[str]]) -> list[str]:
    """What `look` finds, as soon as it finds anything, for ten seconds."""
    for _ in range(500):
        if found := look():
            return found
        time.sleep(0.02)
    return []


class Place:
    """A running server with TLS, and stores for the centre and two sites."""

    def __init__(self, home: Path) -> None:
        self.home, self.endpoint = home, f"https://127.0.0.1:{free_port()}"
        authority, self.users = Authority(home), Users(home / "store")
        authority.certify("127.0.0.1", home / "store")
        self.ca_file = home / "authority" / "authority.pem"
        self.keys = {"centre": self.users.add("centre", None)}
        for site in ("site-a", "site-b"):
            self.keys[site] = self.users.add(site, {site: "rw", "global": "ro"})
        self.server = StoreServer(home / "store", self.endpoint)

    def store(self, name: str, **changes) -> S3Store:
        return self.open(self.keys[name], **changes)

    def open(self, keys: Credentials, *, endpoint: str = "", ca_file: Path | None = None, tries: int = 1) -> S3Store:
        return S3Store(endpoint or self.endpoint, *keys, ca_file or self.ca_file, tries=tries, pause_s=0.01)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Iterator[Place]:
    place = Place(tmp_path_factory.mktemp("a centre"))  # with a space, as homes have
    with place.server:
        yield place


def test_an_object_comes_back_as_it_went(place):
    content = hashlib.sha256(b"seed").digest() * 100_000  # 3.2 MB
    store = place.store("site-a")
    store.put("site-a", "run/x/one", BytesIO(content), len(content))
    with store.get("site-a", "run/x/one") as stream:
        parts = list(iter(lambda: stream.read(1 << 20), b""))
    assert b"".join(parts) == content
    assert store.stat("site-a", "run/x/one").size == len(content)


def test_another_key_sees_a_new_object_soon(place):
    """Not after the five minutes of rclone's default; a tenth of a second was seen."""
    assert place.store("centre").list("site-a", "fresh/") == []
    place.store("site-a").put("site-a", "fresh/one", b"1")
    assert soon(lambda: [entry.key for entry in place.store("centre").list("site-a", "fresh/")]) == ["fresh/one"]


def test_lists_are_sorted_and_folders_are_one_segment(place):
    store = place.store("centre")
    for key in ("r2/b", "r2/a", "r1/deep/er/c"):
        store.put("global", key, b"x")
    assert [entry.key for entry in store.list("global", "r")] == ["r1/deep/er/c", "r2/a", "r2/b"]
    assert store.folders("global") == ["r1", "r2"]
    assert store.folders("global", "r1/") == ["deep"]
    assert store.folders("global", "nothing/") == []


def test_a_site_reads_global(place):
    place.store("centre").put("global", "news/1", b"news")
    assert soon(lambda: [entry.key for entry in place.store("site-a").list("global", "news/")])
    with place.store("site-a").get("global", "news/1") as stream:
        assert stream.read() == b"news"


@pytest.mark.parametrize("attempt", ["read", "list", "write", "stat", "delete"])
def test_a_site_cannot_reach_another_sites_bucket(place, attempt):
    place.store("centre").put("site-b", "secret", b"b")
    store = place.store("site-a")
    attempts = {
        "read": lambda: store.get("site-b", "secret").__enter__(),
        "list": lambda: store.list("site-b"),
        "write": lambda: store.put("site-b", "secret", b"a"),
        "stat": lambda: store.stat("site-b", "secret"),
        "delete": lambda: store.delete("site-b", "secret"),
    }
    with pytest.raises(KonsilError):
        attempts[attempt]()
    assert (place.home / "store" / "data" / "site-b" / "secret").read_bytes() == b"b"


@pytest.mark.parametrize("key", ["kept", "added"])
def test_a_site_cannot_write_or_delete_in_global(place, key):
    place.store("centre").put("global", "kept", b"kept")
    store = place.store("site-a")
    with pytest.raises(Unavailable, match="may not write"):
        store.put("global", key, b"mine")
    with pytest.raises(KonsilError):
        store.delete("global", "kept")
    files = place.home / "store" / "data" / "global"
    assert (files / "kept").read_bytes() == b"kept"
    assert not (files / "added").exists()


def test_the_clock_is_the_servers(place):
    assert abs(place.store("site-a").now() - datetime.now(UTC)) < timedelta(seconds=5)


def test_an_absent_object_is_missing(place):
    with pytest.raises(Missing), place.store("site-a").get("site-a", "never"):
        pass
    with pytest.raises(Missing):
        place.store("site-a").stat("site-a", "never")


def test_a_wrong_bucket_is_a_sentence(place):
    with pytest.raises(BadSetting, match="no bucket site-q"):
        place.store("site-a").list("site-q")


def test_wrong_credentials_are_a_sentence_without_the_secret(place):
    wrong = Credentials(place.keys["site-a"].access_key, "not-the-secret")
    with pytest.raises(BadSetting, match="does not accept these credentials") as caught:
        place.open(wrong).list("site-a")
    assert "not-the-secret" not in caught.value.sentence
    assert wrong.access_key not in caught.value.sentence


def test_a_revoked_key_is_refused_by_the_next_server(place, tmp_path):
    users = Users(tmp_path)
    keys = users.add("site-a", {"site-a": "rw", "global": "ro"})
    users.remove(keys.access_key)
    endpoint = f"http://127.0.0.1:{free_port()}"
    with StoreServer(tmp_path, endpoint), pytest.raises(BadSetting, match="credentials"):
        S3Store(endpoint, *keys, tries=1).list("site-a")


def test_a_certificate_of_somebody_else_is_refused(place, tmp_path):
    stranger = Authority(tmp_path)
    with pytest.raises(BadSetting, match="not who it says"):
        place.store("site-a", ca_file=tmp_path / "authority" / "authority.pem").list("site-a")
    assert stranger.pem not in place.ca_file.read_text()


def test_a_certificate_out_of_date_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("konsil.trust.authority.SERVER_DAYS", 0)
    monkeypatch.setattr("konsil.trust.authority.SKEW", timedelta(days=2))
    authority, keys = Authority(tmp_path), Users(tmp_path / "store").add("site-a", {"site-a": "rw", "global": "ro"})
    monkeypatch.setattr("konsil.trust.authority.SERVER_DAYS", -1)
    authority.certify("127.0.0.1", tmp_path / "store")
    endpoint = f"https://127.0.0.1:{free_port()}"
    ca_file = tmp_path / "authority" / "authority.pem"
    with StoreServer(tmp_path / "store", endpoint), pytest.raises(BadSetting, match="out of date"):
        S3Store(endpoint, *keys, ca_file, tries=1).list("site-a")


def test_a_certificate_for_another_name_is_refused(tmp_path):
    authority, keys = Authority(tmp_path), Users(tmp_path / "store").add("site-a", {"site-a": "rw", "global": "ro"})
    authority.certify("store.example.org", tmp_path / "store")
    endpoint, ca_file = f"https://127.0.0.1:{free_port()}", tmp_path / "authority" / "authority.pem"
    with StoreServer(tmp_path / "store", endpoint), pytest.raises(BadSetting, match="not who it says"):
        S3Store(endpoint, *keys, ca_file, tries=1).list("site-a")


def test_the_systems_authorities_do_not_count_for_the_pass(place):
    """A home with no CA of its own trusts public authorities, and those did not sign this server."""
    with pytest.raises(BadSetting, match="not who it says"):
        S3Store(place.endpoint, *place.keys["site-a"], None, tries=1).list("site-a")


@pytest.mark.parametrize("endpoint", ["http://store.example.org:9000", "http://192.0.2.7:9000"])
def test_no_credentials_go_over_a_network_in_the_open(endpoint):
    with pytest.raises(BadSetting, match="without TLS"):
        S3Store(endpoint, "key", "secret")


def test_http_and_https_mixed_up_are_sentences(place, tmp_path):
    with pytest.raises(BadSetting, match="TLS"):
        place.store("site-a", endpoint=place.endpoint.replace("https", "http")).list("site-a")
    users = Users(tmp_path)
    keys = users.add("site-a", {"site-a": "rw", "global": "ro"})
    endpoint = f"http://127.0.0.1:{free_port()}"
    with StoreServer(tmp_path, endpoint), pytest.raises(BadSetting, match="does not speak TLS"):
        place.open(keys, endpoint=endpoint.replace("http", "https")).list("site-a")


def test_nobody_there_is_unavailable_with_the_address(place):
    endpoint = f"https://127.0.0.1:{free_port()}"
    with pytest.raises(Unavailable, match="does not answer"):
        place.store("site-a", endpoint=endpoint, tries=2).list("site-a")


def test_a_taken_port_is_a_sentence_and_leaves_no_process(place, tmp_path):
    Users(tmp_path).add("centre", None)
    server = StoreServer(tmp_path, place.endpoint.replace("https", "http"))
    with pytest.raises(Unavailable, match="address already in use"):
        server.start()
    assert server.pid is None


def test_a_removed_key_is_out_at_once_though_the_server_knows_it(place):
    """rclone keeps what it knows of a key for as long as the key is used: the link behind it must end."""
    keys = place.users.add("site-c", {"site-c": "rw", "global": "ro"})
    store = place.open(keys)
    place.store("centre").put("global", "for/c", b"c")
    store.put("site-c", "one", b"1")
    assert soon(lambda: [entry.key for entry in store.list("site-c")])
    place.users.remove(keys.access_key)
    time.sleep(0.3)  # more than the directory cache lasts
    assert store.list("site-c") == []
    for attempt in (
        lambda: store.put("site-c", "two", b"2"),
        lambda: store.stat("site-c", "one"),
        lambda: store.get("site-c", "one").__enter__(),
        lambda: store.get("global", "for/c").__enter__(),
    ):
        with pytest.raises(KonsilError):
            attempt()
    files = place.home / "store"
    assert [path.name for path in (files / "data" / "site-c").iterdir()] == ["one"]
    assert not (files / "revoked").exists()


def test_a_link_that_a_killed_process_left_open_is_closed(tmp_path):
    users = Users(tmp_path)
    kept, gone = (users.add(name, {name: "rw", "global": "ro"}) for name in ("site-a", "site-b"))
    users.remove(gone.access_key)
    link = tmp_path / "grants" / gone.access_key
    link.unlink()
    link.symlink_to("../data")
    users.prepare()
    assert not link.exists()
    assert (tmp_path / "grants" / kept.access_key / "site-a").is_dir()


def test_users_of_an_older_home_get_their_links(tmp_path):
    users = Users(tmp_path)
    keys = users.add("site-a", {"site-a": "rw", "global": "ro"})
    (tmp_path / "grants" / keys.access_key).unlink()
    endpoint = f"http://127.0.0.1:{free_port()}"
    with StoreServer(tmp_path, endpoint):
        S3Store(endpoint, *keys).put("site-a", "x", b"x")
    assert (tmp_path / "data" / "site-a" / "x").read_bytes() == b"x"


def test_a_stopped_server_is_gone(tmp_path):
    Users(tmp_path).add("centre", None)
    endpoint = f"http://127.0.0.1:{free_port()}"
    with StoreServer(tmp_path, endpoint) as server:
        pid = server.pid
    assert subprocess.run(["ps", "-p", str(pid)], capture_output=True, check=False).returncode == 1


def test_objects_survive_a_restart(tmp_path):
    keys = Users(tmp_path).add("centre", None)
    endpoint = f"http://127.0.0.1:{free_port()}"
    with StoreServer(tmp_path, endpoint):
        S3Store(endpoint, *keys).put("global", "a/b", b"still there")
    with StoreServer(tmp_path, endpoint), S3Store(endpoint, *keys).get("global", "a/b") as stream:
        assert stream.read() == b"still there"


def test_the_verb_becomes_the_server_and_ends_with_it(tmp_path):
    endpoint = f"https://localhost:{free_port()}"
    konsil = [sys.executable, "-m", "konsil.cli"]
    home = ["--home", str(tmp_path)]
    subprocess.run([*konsil, "central", "init", "--endpoint", endpoint, *home], check=True, capture_output=True)
    verb = subprocess.Popen([*konsil, "central", "store", *home], stderr=subprocess.DEVNULL)
    try:
        keys = next(iter(json.loads((tmp_path / "store" / "users.json").read_text())["users"].items()))
        store = S3Store(endpoint, keys[0], keys[1]["secret"], tmp_path / "ca.pem", tries=8)
        assert store.list("global") == []
    finally:
        verb.terminate()
        verb.wait(10)
    with pytest.raises(Unavailable):
        S3Store(endpoint, keys[0], keys[1]["secret"], tmp_path / "ca.pem", tries=1).now()
