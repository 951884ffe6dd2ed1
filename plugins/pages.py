"""Which files the tabs may show, and the two pages that list them.

Only whole reports are served: HTML files at two known places below KONSIL_HOME, named by plain words. A name with a
path in it is not a name, and a link that leads out of the folder is not followed.
"""

from __future__ import annotations

import re
from html import escape
from pathlib import Path

from konsil.errors import KonsilError
from konsil.files import read_json

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,80}")
STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:2rem;max-width:60rem;color:#1b2a2a;background:#fff}"
    "a{color:#0b6b60}li{margin:.4rem 0}small{color:#5a6b6b}"
    "@media(prefers-color-scheme:dark){body{color:#dfe9e7;background:#14201f}a{color:#6fd3c4}small{color:#9bb0ad}}"
)


def quality_page(home: Path, cohort: str, page: str) -> Path | None:
    """The file of a cohort's or a case's report; `page` is its name without `.html`. None if there is none."""
    return inside(home / "cohorts", cohort, "derivatives/konsil/reports", page)


def federation_page(home: Path, run: str) -> Path | None:
    """The file of a federation's report. None if there is none."""
    return inside(home / "runs", run, ".", "report")


def inside(root: Path, name: str, folder: str, page: str) -> Path | None:
    """`<root>/<name>/<folder>/<page>.html` if both names are plain and the file really lies there."""
    if not (NAME.fullmatch(name) and NAME.fullmatch(page)):
        return None
    path = (root / name / folder / f"{page}.html").resolve()
    return path if path.is_relative_to(root.resolve()) and path.is_file() else None


def quality_index(home: Path) -> str:
    """All cohorts with a report, newest first; links are relative to `…/quality`."""
    found = sorted(
        home.glob("cohorts/*/derivatives/konsil/reports/cohort.html"),
        key=lambda path: path.stat().st_mtime,
        reverse=True,
    )
    rows = []
    for path in found:
        name = path.parents[3].name
        state = "frozen" if (path.parents[3] / "cohort.json").exists() else "not signed yet"
        rows.append((f"quality/{name}/cohort.html", name, state))
    return listing("Quality", rows, "No cohort has a report yet. Trigger the DAG “Prepare cohort”.")


def federation_index(home: Path) -> str:
    """All federations this place knows, newest first; links are relative to `…/federation`."""
    folders = [path for path in home.glob("runs/*") if path.is_dir() and NAME.fullmatch(path.name)]
    rows = []
    for path in sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True):
        ready = (path / "report.html").is_file()
        rows.append((f"federation/{path.name}/report.html" if ready else "", path.name, standing(path)))
    return listing("Federation", rows, "No federation yet.")


def standing(folder: Path) -> str:
    """How a federation stands, from what lies in its folder."""
    if (folder / "report.html").is_file():
        return "report"
    try:
        if (folder / "decision.json").is_file():
            accepted = read_json(folder / "decision.json").get("accepted")
            return "taking part" if accepted else "refused by this site"
    except KonsilError:
        return "decision cannot be read"
    return "running" if (folder / "charter.json").is_file() else "in preparation"


def listing(title: str, rows: list[tuple[str, str, str]], empty: str) -> str:
    """A small page with one line per (address, name, remark); no address, no link."""
    lines = [
        f'<li><a href="{escape(href)}">{escape(name)}</a> <small>{escape(remark)}</small></li>'
        if href
        else f"<li>{escape(name)} <small>{escape(remark)}</small></li>"
        for href, name, remark in rows
    ]
    body = f"<ul>{''.join(lines)}</ul>" if lines else f"<p>{escape(empty)}</p>"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head><body><h1>{escape(title)}</h1>{body}"
        "<p><small>Research use only, not a medical device.</small></p></body></html>"
    )
