"""Two builds of one checkout hold the same bytes. The smaller images stand for the others: their lines are the same."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.engine import DOCKER, ROOT, docker

pytestmark = pytest.mark.containers
IMAGES = ("proxy", "aggregator")


@pytest.fixture(scope="module")
def again(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The tag of a second build, for which nothing of the first one is used but what uv has downloaded."""
    folder, tag = tmp_path_factory.mktemp("again"), "again"
    build_again(folder, tag)
    yield tag
    docker("rmi", "--force", *(f"konsil/{name}:{tag}" for name in IMAGES))


def build_again(folder: Path, tag: str) -> None:
    environment = os.environ | {"KONSIL_TAG": tag, "KONSIL_BUILD": "--no-cache"}
    command = ["sh", str(ROOT / "scripts" / "build_images.sh"), str(folder), *IMAGES]
    end = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=1800)
    assert end.returncode == 0, end.stderr[-2000:]


@pytest.mark.parametrize("name", IMAGES)
def test_a_second_build_holds_the_same_files(again: str, name: str) -> None:
    script = [sys.executable, str(ROOT / "scripts" / "compare_images.py"), "--docker", DOCKER]
    end = subprocess.run(
        [*script, f"konsil/{name}", f"konsil/{name}:{again}"], capture_output=True, text=True, check=False
    )
    assert (end.stdout, end.returncode) == ("", 0), end.stderr[-2000:]
    assert end.stderr.startswith("0 of ")
