"""What is in an image is told by a tool that looks at the image itself."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.containers.engine import ROOT, docker

pytestmark = pytest.mark.containers


def test_the_bill_of_materials_names_what_the_image_holds(tmp_path: Path) -> None:
    script = ["sh", str(ROOT / "scripts" / "sbom.sh"), str(tmp_path), "aggregator"]
    subprocess.run(script, env=os.environ | {"PYTHON": sys.executable}, check=True, capture_output=True, timeout=900)
    bill = json.loads((tmp_path / "aggregator.cdx.json").read_text())
    told = {part["name"].lower().replace("_", "-"): part for part in bill["components"]}
    code = "import importlib.metadata as m; print(*{d.metadata['Name'] for d in m.distributions()})"
    held = docker("run", "--rm", "--entrypoint", "python", "konsil/aggregator", "-c", code).stdout.split()
    assert set(told) == {name.lower().replace("_", "-") for name in held}
    assert {"konsil", "numpy", "pyrage"} <= set(told)
    assert not {"torch", "cyclonedx-bom"} & set(told)
    assert [licence["license"]["id"] for licence in told["minio"]["licenses"] if "id" in licence["license"]]
    assert "libc6" in (tmp_path / "aggregator.debian.tsv").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["aggregator.cdx.json", "aggregator.debian.tsv"]
