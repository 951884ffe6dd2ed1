"""Store, proxy and database of the compose file without Airflow: a site enrols over TLS and sees no other's bucket."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from konsil.stack.secrets import make
from konsil.stack.wishes import STORE_NAME, Wish
from tests.containers.engine import compose, docker, down, wait_until_healthy

pytestmark = pytest.mark.containers
SERVICES = ["minio", "store-proxy", "centre-db", "a-db"]
ENDPOINT = f"https://{STORE_NAME}:9443"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = tmp_path_factory.mktemp("store") / "konsil-stack"
    make(Wish("all-in-one", "localhost", ("A", "B", "C")), made)
    (made / "homes").mkdir(mode=0o700)
    for name in ("centre", "a", "b"):
        (made / "homes" / name).mkdir()
        (made / "homes" / name).chmod(0o777)  # for the containers' user; the folder above is ours alone
    try:
        compose(made, "up", "--detach", *SERVICES)
        wait_until_healthy(SERVICES)
        yield made
    finally:
        down(made)


def shown(folder: Path) -> list[str]:
    """The keys and the authority as single files, as the compose file mounts them: the folder itself lets nobody in."""
    files = [folder / "ca.pem", *(folder / "store").glob("*.key")]
    return [word for file in files for word in ("--volume", f"{file}:/stack/{file.name}:ro")]


def konsil(folder: Path, home: str, network: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A verb in the aggregator's image on one of the stack's networks, confined like a service."""
    confined = "--rm --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges".split()  # noqa: SIM905
    mounts = ["--volume", f"{folder / 'homes' / home}:/data", *shown(folder)]
    return docker("run", *confined, "--network", f"konsil_{network}", *mounts, "konsil/aggregator", *words, check=False)


def test_a_site_enrols_through_the_proxy(folder: Path) -> None:
    keys = ["--access-key", "centre", "--secret-file", "/stack/centre.key", "--ca-file", "/stack/ca.pem"]
    end = konsil(folder, "centre", "centre-inner", "central", "init", "--endpoint", ENDPOINT, *keys)
    assert end.returncode == 0, end.stderr
    key = ["--access-key", "site-a", "--secret-file", "/stack/site-a.key"]
    end = konsil(folder, "centre", "centre-inner", "central", "invite", "A", "--out", "/data/A.pass", *key)
    assert end.returncode == 0, end.stderr
    made = folder / "homes" / "centre" / "A.pass"
    (folder / "homes" / "a" / "pass").write_bytes(made.read_bytes())
    (folder / "homes" / "a" / "pass").chmod(0o644)
    end = konsil(folder, "a", "a-outbound", "site", "join", "/data/pass")
    assert end.returncode == 0, end.stderr
    end = konsil(folder, "centre", "centre-inner", "central", "sites", "--result", "/data/sites.json")
    assert end.returncode == 0, end.stderr
    assert json.loads((folder / "homes" / "centre" / "sites.json").read_text())["A"]["state"] in {
        "enrolled",
        "accepted",
    }
    end = konsil(folder, "a", "a-outbound", "site", "join", "/data/pass")
    assert "has accepted this site" in end.stdout


LOOK = """
import json, pathlib, sys
from konsil.errors import KonsilError
from konsil.storage.s3 import S3Store
user, bucket = sys.argv[1:3]
key, authority = pathlib.Path(f"/stack/{sys.argv[4]}.key").read_text(), pathlib.Path("/stack/ca.pem")
store = S3Store(sys.argv[3], user, key, authority, tries=1)
def can(deed):
    try: deed(); return True
    except KonsilError: return False
print(json.dumps({"write": can(lambda: store.put(bucket, "x", b"x")), "list": can(lambda: list(store.list(bucket)))}))
"""


@pytest.mark.parametrize(
    ("user", "key", "bucket", "write", "read"),
    [
        ("site-a", "site-a", "site-a", True, True),
        ("site-a", "site-a", "global", False, True),
        ("site-a", "site-a", "site-b", False, False),
        ("centre", "site-a", "global", False, False),
        ("centre", "centre", "site-b", True, True),
        ("minioadmin", "site-a", "global", False, False),
    ],
)
def test_a_key_opens_its_own_bucket(folder: Path, user: str, key: str, bucket: str, write: bool, read: bool) -> None:
    mounts = [*shown(folder), "--network", "konsil_b-outbound", "--entrypoint", "python"]
    end = docker("run", "--rm", *mounts, "konsil/aggregator", "-c", LOOK, user, bucket, ENDPOINT, key)
    assert json.loads(end.stdout) == {"write": write, "list": read}


def test_a_site_reaches_the_centres_one_port_and_no_other_service(folder: Path) -> None:
    code = (
        "import socket, sys\n"
        "for place in sys.argv[1:]:\n"
        "    host, port = place.split(':')\n"
        "    try: socket.create_connection((host, int(port)), 3); print(place)\n"
        "    except OSError: pass\n"
    )
    inner = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
    hidden = []
    for service, port in (("minio", 9000), ("centre-db", 5432), ("a-db", 5432)):
        found = docker("ps", "--quiet", "--filter", f"label=com.docker.compose.service={service}").stdout.split()[0]
        hidden += [f"{host}:{port}" for host in docker("inspect", "--format", inner, found).stdout.split()]
    wanted = [f"{STORE_NAME}:9443", "minio:9000", "centre-db:5432", "a-db:5432", *hidden]
    run = ["run", "--rm", "--network", "konsil_b-outbound", "--entrypoint", "python", "konsil/aggregator", "-c", code]
    assert docker(*run, *wanted).stdout.split() == [f"{STORE_NAME}:9443"]


def test_a_killed_store_comes_back_with_what_it_held(folder: Path) -> None:

    find = ["ps", "--quiet", "--filter", "label=com.docker.compose.service=minio"]
    name = docker(*find).stdout.split()[0]
    os.kill(int(docker("inspect", "--format", "{{.State.Pid}}", name).stdout), signal.SIGKILL)
    time.sleep(2)
    wait_until_healthy(["minio"])
    end = konsil(folder, "centre", "centre-inner", "central", "sites")
    assert end.returncode == 0, end.stderr
    assert end.stdout.startswith("A ")


def test_the_database_wants_its_password(folder: Path) -> None:
    name = docker("ps", "--quiet", "--filter", "label=com.docker.compose.service=centre-db").stdout.split()[0]
    own = (folder / "centre" / "database").read_text()
    of_a = (folder / "a" / "database").read_text()
    for given, code in ((own, 0), ("airflow", 2), (of_a, 2)):
        address = "host=centre-db user=airflow dbname=airflow"
        end = docker("exec", "--env", f"PGPASSWORD={given}", name, "psql", address, "-c", "select 1", check=False)
        assert end.returncode == code, end.stderr
