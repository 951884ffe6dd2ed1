"""The bill of materials of an image: every Python distribution and every Debian package in it, as CycloneDX 1.6 JSON.

    python scripts/sbom.py konsil/worker build/containers/worker.cdx.json

The image is asked by running it, without a network; nothing is added to it. Serial number and time are left out, so two
bills of the same content are the same bytes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

PYTHON = (
    "import importlib.metadata as m, json;"
    "print(json.dumps(sorted({(d.metadata['Name'], d.version) for d in m.distributions()})))"
)
DEBIAN = ("dpkg-query", "--show", "--showformat", "${Package}\\t${Version}\\t${Architecture}\\n")


def bill(image: str, python: list[tuple[str, str]], debian: list[tuple[str, str, str]]) -> str:
    """The bill as JSON. `python`: names and versions, `debian`: names, versions and architectures."""
    found = Bom()
    found.serial_number = found.metadata.timestamp = None  # type: ignore[assignment]  # drawn anew by the library
    whole = Component(name=image, type=ComponentType.CONTAINER, bom_ref=image)
    found.metadata.component = whole
    for name, version in python:
        add(found, name, version, PackageURL("pypi", name=name.lower(), version=version))
    for name, version, architecture in debian:
        purl = PackageURL("deb", "debian", name, version, {"arch": architecture})
        add(found, name, version, purl)
    found.register_dependency(whole, found.components)
    return JsonV1Dot6(found).output_as_string(indent=1)


def add(found: Bom, name: str, version: str, purl: PackageURL) -> None:
    """One more component; its reference is its package address."""
    part = Component(name=name, version=version, purl=purl, type=ComponentType.LIBRARY, bom_ref=str(purl))
    found.components.add(part)


def asked(image: str, program: str, *arguments: str) -> str:
    """What a program in the image prints."""
    command = ["docker", "run", "--rm", "--network", "none", "--entrypoint", program, image, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{image} could not be asked for its packages: {done.stderr.strip()[-300:]}")
    return done.stdout


def main() -> None:
    """Ask the image and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image")
    parser.add_argument("out", type=Path)
    chosen = parser.parse_args()
    python = [(name, version) for name, version in json.loads(asked(chosen.image, "python3", "-c", PYTHON))]
    lines = asked(chosen.image, *DEBIAN).splitlines()
    debian = [(name, version, arch) for name, version, arch in (line.split("\t") for line in lines)]
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(bill(chosen.image, python, debian) + "\n", encoding="utf-8")
    sys.stdout.write(f"{chosen.image}: {len(python)} Python, {len(debian)} Debian packages in {chosen.out}\n")


if __name__ == "__main__":
    main()
