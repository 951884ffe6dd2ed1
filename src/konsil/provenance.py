"""What made a file: versions of the software in use, for sidecars, reports and answers to a charter."""

from __future__ import annotations

from functools import cache
from importlib import metadata

from konsil.types import Json

PARTS = ("konsil", "numpy", "SimpleITK", "dcm2niix", "pydicom", "nibabel", "torch", "nnunetv2")


def versions() -> Json:
    """Installed versions by distribution name; parts that are not installed are left out."""
    return dict(installed())


@cache
def installed() -> Json:
    """The same, looked up once: it takes as long as packing an image."""
    found: Json = {}
    for name in PARTS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def generated_by(step: str) -> Json:
    """BIDS `GeneratedBy` entry (BIDS 1.10, derivatives) for a file made by `step`."""
    return {"Name": "konsil", "Version": metadata.version("konsil"), "Description": step}
