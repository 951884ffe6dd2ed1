"""A step in a processing image: no network, no root, no capabilities, and nothing to write but its own folder."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from operators.base import KonsilOperator
from tests.containers.engine import docker

pytestmark = pytest.mark.containers
IMAGES = ["imaging", "learner", "aggregator"]
CONFINED = [
    "--network",
    "none",
    "--read-only",
    "--tmpfs",
    "/tmp",  # noqa: S108
    "--cap-drop",
    "ALL",
    "--security-opt",
    "no-new-privileges",
]
PROBE = """
import json, os, socket
def refused(deed):
    try: deed()
    except OSError as error: return type(error).__name__
    return ""
status = open("/proc/self/status").read()
found = {
    "uid": os.getuid(),
    "capabilities": [line.split()[1] for line in status.splitlines() if line[:6] in ("CapEff", "CapPrm", "CapBnd")],
    "interfaces": [name for _, name in socket.if_nameindex()],
    "connect": refused(lambda: socket.create_connection(("1.1.1.1", 53), 3)),
    "write": {path: refused(lambda: open(path + "/x", "w")) for path in ("/etc", "/opt/konsil", "/usr", "/elsewhere")},
    "own": refused(lambda: open("/data/x", "w")),
}
print(json.dumps(found))
"""


class Verb(KonsilOperator):
    """A step whose command the test chooses."""

    def __init__(self, *, words: list[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.words = words

    def arguments(self) -> list[str]:
        return self.words


@pytest.mark.parametrize("image", IMAGES)
def test_a_step_reaches_nothing_and_writes_nothing_but_its_folder(image: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    (elsewhere := tmp_path / "elsewhere").mkdir(mode=0o755)
    mounts = ["--volume", f"{tmp_path}:/data", "--volume", f"{elsewhere}:/elsewhere:ro"]
    end = docker("run", "--rm", *CONFINED, *mounts, "--entrypoint", "python", f"konsil/{image}", "-c", PROBE)
    found = json.loads(end.stdout)
    assert found["uid"] == 10001
    assert set(found["capabilities"]) == {"0000000000000000"}
    assert found["interfaces"] == ["lo"]
    assert found["connect"]
    assert all(found["write"].values()), found["write"]
    assert found["own"] == ""


@pytest.mark.parametrize("image", [*IMAGES, "airflow", "worker"])
def test_the_entry_is_konsil_and_the_image_says_what_it_is(image: str) -> None:
    config = json.loads(docker("image", "inspect", f"konsil/{image}").stdout)[0]["Config"]
    assert config["Entrypoint"] == ["konsil"]
    assert config["User"] == "10001:10001"
    assert config["Healthcheck"]["Test"]
    assert config["Labels"]["org.opencontainers.image.version"]
    assert not [word for word in config["Env"] if "://" in word], "an address of the machine that built it"
    assert docker("run", "--rm", *CONFINED, f"konsil/{image}", "--version").stdout.startswith("konsil ")


@pytest.mark.parametrize(
    ("image", "lacks"), [("airflow", "torch"), ("aggregator", "SimpleITK"), ("imaging", "airflow")]
)
def test_an_image_lacks_what_its_work_does_not_need(image: str, lacks: str) -> None:
    end = docker("run", "--rm", "--entrypoint", "python", f"konsil/{image}", "-c", f"import {lacks}", check=False)
    assert "ModuleNotFoundError" in end.stderr


def verb(*words: str) -> None:
    Verb(task_id="step", words=list(words)).execute({})


def konsil(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "konsil.cli", *words], check=True, capture_output=True)


def derived(home: Path) -> dict[str, str]:
    files = sorted((home / "cohorts").rglob("*.nii.gz"))
    return {str(path.relative_to(home)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_both_doors_give_the_same_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inbox, home, other = tmp_path / "inbox", tmp_path / "home", tmp_path / "other"
    monkeypatch.setenv("PATH", f"/usr/bin:{os.environ['PATH']}")  # the engine's own client first
    monkeypatch.setenv("KONSIL_HOME", str(home))
    konsil("phantom", str(inbox), "--site", "A", "--cases", "1", "--seed", "5", "--resolution", "3")
    konsil("scan", str(inbox), "--cohort", "ms-1")
    konsil("deidentify", str(inbox), "ms-1")
    konsil("convert", str(home / "work" / "ms-1" / "dicom"), "ms-1")
    shutil.copytree(home, other)
    raw = derived(home)
    for step in ("orient", "mask", "register"):
        verb(step, "ms-1")
    monkeypatch.setenv("KONSIL_HOME", str(other))
    monkeypatch.setenv("KONSIL_DOOR", "docker")
    for step in ("orient", "mask", "register"):
        verb(step, "ms-1")
    assert len(derived(home)) > len(raw)
    assert derived(other) == derived(home)
