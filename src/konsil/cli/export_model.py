"""`konsil export-model`: a trained model for people who have nnU-Net and not Konsil."""

from __future__ import annotations

from pathlib import Path

import typer

from konsil.cli.door import RESULT, deliver, speak

MODEL = typer.Argument(..., metavar="MODEL", help="Model folder: <home>/models/RUN, or best/ or last/ below it.")
OUT = typer.Argument(..., metavar="OUT", help="A new .zip file, or a folder that serves as nnUNet_results.")


REPLACE = typer.Option(False, "--replace", help="A zip that is there already is replaced.")


def export_model(model: Path = MODEL, out: Path = OUT, replace: bool = REPLACE, result: Path | None = RESULT) -> None:
    """Write a model where nnU-Net's own commands find it; they need nothing of Konsil.

    A zip is unpacked by nnUNetv2_install_pretrained_model_from_zip. Research use only, not a medical device.

    Example: konsil export-model konsil-home/models/ms-1 ms-1.zip
    """
    from konsil.learners.registry import export_model as export

    speak()
    words = export(model, out, replace=replace)
    if out.suffix == ".zip":
        typer.echo(f"nnUNetv2_install_pretrained_model_from_zip {out}")
    else:
        typer.echo(f"export nnUNet_results={out.absolute()}")
    names = f"-d {words['dataset']} -c {words['configuration']} -tr {words['trainer']} -p {words['plans']}"
    typer.echo(f"nnUNetv2_predict -i IN -o OUT {names} -f {words['fold']}")
    deliver(words, result)


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("export-model")(export_model)
