"""`konsil phantom`: a synthetic hospital as DICOM, for demonstrations and tests."""

from __future__ import annotations

from pathlib import Path

import typer

from konsil.cli import door


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("phantom")(phantom)


def phantom(
    out: Path = typer.Argument(help="Inbox to fill; made if it is not there."),
    site: str = typer.Option(
        "A", help="Hospital: A (Siemens, Philips, GE), B (Siemens Skyra) or C (Siemens Skyra Fit)."
    ),
    cases: int = typer.Option(8, help="Number of patients, 1 to 400."),
    seed: int = typer.Option(1, help="The same seed gives the same bytes."),
    resolution: float = typer.Option(1.0, help="Voxel size in mm, 0.8 to 6. At 2 a patient takes a few seconds."),
    fault: str = typer.Option(
        "", help="Planted faults, for example motion=1,spike@0.5=2 (@ severity). See docs/phantom.md."
    ),
    truth: Path | None = typer.Option(
        None, help="Where to write what is true; by default <OUT>_truth.json beside OUT."
    ),
) -> None:
    """Make synthetic patients with MS lesions and write them as DICOM, with invented identifiers.

    Example: konsil phantom inbox --site C --cases 8 --seed 1 --resolution 2 --fault motion=1
    """
    from konsil.phantom.faults import parse_faults
    from konsil.phantom.hospital import write_hospital

    door.speak()
    truth = truth or out.resolve().parent / f"{out.resolve().name}_truth.json"
    write_hospital(
        out, site=site, cases=cases, seed=seed, resolution_mm=resolution, faults=parse_faults(fault), truth=truth
    )
    patients = "1 patient" if cases == 1 else f"{cases} patients"
    typer.echo(f"{patients} of site {site} in {out}; what is true about them in {truth}.")
