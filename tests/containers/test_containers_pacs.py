"""The trial's Orthanc: one password, which is new, and no port outside; `konsil fetch` finds its images."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from konsil.stack.secrets import make
from konsil.stack.wishes import Wish
from tests.containers.engine import compose, docker, down, inspected, wait_until_healthy

pytestmark = pytest.mark.containers
URL = "http://orthanc:8042"
SEND = """
import base64, pathlib, sys, urllib.request
login = "Basic " + base64.b64encode(("konsil:" + pathlib.Path("/run/pacs").read_text()).encode()).decode()
for path in pathlib.Path("/patients").rglob("*"):
    if path.is_file():
        asked = urllib.request.Request(sys.argv[1] + "/instances", path.read_bytes(), {"Authorization": login})
        urllib.request.urlopen(asked).read()
"""
ASK = """
import base64, sys, urllib.error, urllib.request
login, *urls = sys.argv[1:]
for url in urls:
    asked = urllib.request.Request(url)
    if login: asked.add_header("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
    try: print(urllib.request.urlopen(asked).status)
    except urllib.error.HTTPError as error: print(error.code)
"""
PATHS = ["/system", "/dicom-web/studies", "/app/explorer.html", "/tools/execute-script"]
LOGINS = ["", "orthanc:orthanc", "admin:admin", "konsil:konsil", "konsil:", "alice:alicePassword"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = tmp_path_factory.mktemp("pacs") / "konsil-stack"
    make(Wish("site", "localhost", ("A",)), made)
    try:
        compose(made, "up", "--detach", profiles=["pacs"])
        wait_until_healthy(["orthanc"])
        yield made
    finally:
        down(made, ["pacs"])


def inside(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command in one of our images beside Orthanc, confined like a service."""
    confined = "--rm --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges".split()  # noqa: SIM905
    mounts = ["--volume", f"{folder / 'pacs' / 'password'}:/run/pacs:ro", "--network", "konsil_a-inner"]
    return docker("run", *confined, *mounts, *words, check=False)


@pytest.mark.parametrize("login", LOGINS)
def test_no_default_login_works(folder: Path, login: str) -> None:
    urls = [f"{URL}{path}" for path in PATHS]
    end = inside(folder, "--entrypoint", "python", "konsil/aggregator", "-c", ASK, login, *urls)
    assert end.stdout.split() == ["401"] * len(PATHS), end.stderr


def test_it_publishes_nothing_and_takes_no_images_without_a_password(folder: Path) -> None:
    found = inspected("orthanc")
    assert not found["HostConfig"]["PortBindings"]
    assert list(found["NetworkSettings"]["Networks"]) == ["konsil_a-inner"]
    code = "import socket; socket.create_connection(('orthanc', 4242), 3)"
    assert "refused" in inside(folder, "--entrypoint", "python", "konsil/aggregator", "-c", code).stderr


def test_konsil_fetches_from_it(folder: Path, tmp_path: Path) -> None:
    (patients := tmp_path / "patients").mkdir()
    words = ["phantom", str(patients), "--site", "A", "--cases", "1", "--seed", "5", "--resolution", "4"]
    subprocess.run([sys.executable, "-m", "konsil.cli", *words], check=True, capture_output=True)
    (home := tmp_path / "home").mkdir()
    home.chmod(0o777)
    sent = ["--volume", f"{patients}:/patients:ro", "--entrypoint", "python", "konsil/aggregator", "-c", SEND, URL]
    assert inside(folder, *sent).returncode == 0
    login = ["--env", "KONSIL_DICOMWEB_USER=konsil", "--env", "KONSIL_DICOMWEB_PASSWORD_FILE=/run/pacs"]
    fetch = ["fetch", "--url", f"{URL}/dicom-web", "--from", "1900-01-01", "--result", "/data/result.json"]
    end = inside(folder, "--volume", f"{home}:/data", *login, "konsil/imaging", *fetch)
    assert end.returncode == 0, end.stderr
    assert json.loads((home / "result.json").read_text())["done"]
    there = sum(path.is_file() and not path.name.endswith((".nii.gz", ".json")) for path in patients.rglob("*"))
    assert sum(path.suffix == ".dcm" for path in (home / "home" / "inbox").rglob("*")) == there
