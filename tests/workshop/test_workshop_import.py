"""The library is light until something heavy is asked for."""

import subprocess
import sys


def loaded_by(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after `statement`."""
    code = f"import sys; {statement}; print(*{{name.split('.')[0] for name in sys.modules}})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_importing_konsil_loads_nothing_of_others() -> None:
    assert not loaded_by("import konsil") & {"numpy", "pydantic", "typer", "torch", "airflow", "SimpleITK"}


def test_the_command_line_is_assembled_without_extras() -> None:
    heavy = {
        "torch",
        "nnunetv2",
        "airflow",
        "SimpleITK",
        "pydicom",
        "nibabel",
        "scipy",
        "matplotlib",
        "highdicom",
        "nilearn",
    }
    assert not loaded_by("from konsil.cli.app import assemble; assemble()") & heavy
