"""What all tests share: where the public images lie, and one patient made once per session."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from konsil.phantom.patient import Patient

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two small cores: more threads only get in each other's way

BESIDE_THE_CHECKOUT = Path(__file__).parents[2] / "shared" / "data"


def public_data() -> Path:
    """Folder of the public test images: KONSIL_TEST_DATA, or `shared/data` beside the checkout."""
    return Path(os.environ.get("KONSIL_TEST_DATA", BESIDE_THE_CHECKOUT))


@pytest.fixture(scope="session")
def data() -> Path:
    """The public images; the test is skipped by name where they are absent."""
    folder = public_data()
    if not folder.is_dir():
        pytest.skip(f"the public test images are not at {folder}; set KONSIL_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def phantom() -> Patient:
    """One synthetic patient of site A at 3 mm with every answer known (about two CPU-seconds, once)."""
    from konsil.phantom.patient import make_patient

    return make_patient(7, "A", resolution_mm=3.0)
