"""The bill of materials of an image is valid CycloneDX, the same each time, and names what is in it."""

import json
import sys
from importlib import util
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

SCRIPT = Path(__file__).parents[2] / "scripts" / "sbom.py"
PYTHON, DEBIAN = [("numpy", "2.4.6"), ("Jinja2", "3.1.6")], [("libc6", "2.36-9+deb12u14", "amd64")]


@pytest.fixture(scope="module")
def sbom() -> Any:
    spec = util.spec_from_file_location("sbom", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_is_valid_and_names_everything(sbom: Any) -> None:
    text = sbom.bill("konsil/x", PYTHON, DEBIAN)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert {part["purl"] for part in json.loads(text)["components"]} == {
        "pkg:pypi/numpy@2.4.6", "pkg:pypi/jinja2@3.1.6", "pkg:deb/debian/libc6@2.36-9%2Bdeb12u14?arch=amd64",
    }  # fmt: skip


def test_two_bills_of_the_same_content_are_the_same(sbom: Any) -> None:
    assert sbom.bill("konsil/x", PYTHON, DEBIAN) == sbom.bill("konsil/x", PYTHON[::-1], DEBIAN)


def test_an_image_that_is_not_there_is_told(sbom: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\necho 'No such image' >&2\nexit 125\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(sys, "argv", ["sbom.py", "konsil/none", str(tmp_path / "out.json")])
    with pytest.raises(SystemExit, match=r"could not be asked.*No such image"):
        sbom.main()
    assert not (tmp_path / "out.json").exists()
