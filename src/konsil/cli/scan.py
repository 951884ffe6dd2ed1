"""`konsil scan`: what lies in an inbox, and which series make a case."""

from __future__ import annotations

from pathlib import Path

import typer

from konsil.cli.door import RESULT, leave, speak
from konsil.types import Json


def scan(
    inbox: Path = typer.Argument(..., metavar="IN", help="Folder with DICOM, in any folders and under any names."),
    cohort: str = typer.Option(..., "--cohort", help="Name of the cohort, e.g. ms-2024."),
    paths: bool = typer.Option(False, "--paths", help="Also print the paths of broken files: they may name patients."),
    result: Path | None = RESULT,
) -> None:
    """Find T1w and FLAIR in an inbox and propose cases, with reasons. Nothing is copied.

    Example: konsil scan /data/export --cohort ms-2024
    """
    from konsil.cohort.folder import SiteFolder
    from konsil.dicom.scan import read_scan
    from konsil.dicom.scan import scan as find
    from konsil.settings import Settings

    speak()
    settings = Settings()
    site = SiteFolder(settings.home)
    outcome = find(site, cohort, inbox, settings.inbox_links)
    found = read_scan(site.cohort(cohort))
    show(found)
    for sentence, broken in sorted(found["unreadable"].items()) if paths else ():
        typer.echo("\n".join(f"{sentence} {path}" for path in broken))
    leave(outcome, result=result)


def show(found: Json) -> None:
    """Print the cases, what was chosen and what was not, with reasons."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="What scan found", show_lines=True)
    for heading in ("case", "chosen", "warnings", "not chosen"):
        table.add_column(heading, overflow="fold")
    for name, case in sorted(found["cases"].items()):
        chosen = [
            f"{role}: {one['label']}. {one.get('why', '')}".rstrip() for role, one in sorted(case["series"].items())
        ]
        others = [f"{one['series']}: {one['reason']}" for one in case["others"]]
        table.add_row(name, "\n".join(chosen), "\n".join(case["warnings"]) or "none", "\n".join(others) or "none")
    console = Console()
    console.print(table if console.is_terminal else plain(found), markup=False, highlight=False, soft_wrap=True)


def plain(found: Json) -> str:
    """The same as lines, for logs and pipes."""
    lines = []
    for name, case in sorted(found["cases"].items()):
        lines.append(name)
        for role, one in sorted(case["series"].items()):
            lines.append(f"  {role}: {one['label']}. {one.get('why', '')}".rstrip())
        lines += [f"  warning: {text}" for text in case["warnings"]]
        lines += [f"  not chosen: {one['series']}: {one['reason']}" for one in case["others"]]
    lines += [f"ignored: {count} {what}" for what, count in sorted(found["ignored"].items())]
    return "\n".join(lines)


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("scan")(scan)
