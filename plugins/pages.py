"""Which files the tabs may show, and the two pages that list them.

Only whole reports are served: HTML files at two known places below KONSIL_HOME, named by plain words. A name with a
path in it is not a name, and a link that leads out of the folder is not followed.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

from konsil.cohort.folder import SiteFolder
from konsil.errors import KonsilError
from konsil.quality.review import read_reviews
from plugins.drawing import render
from plugins.names import NAME
from plugins.runs import rows

STYLE = (
    ":root{color-scheme:light dark;--text:#1a2226;--ground:#fbfbfa;--line:#cfd6d8;--quiet:#566268;--link:#0b5f8a}"
    "@media(prefers-color-scheme:dark)"
    "{:root{--text:#dfe4e6;--ground:#121416;--line:#2e3438;--quiet:#9aa5aa;--link:#7cc7e8}}"
    "body{font:15px/1.5 system-ui,'Segoe UI','DejaVu Sans',sans-serif;margin:0 auto;padding:24px 28px;max-width:1180px;"
    "color:var(--text);background:var(--ground)}h1{font-size:24px;margin:0 0 12px}a{color:var(--link);font-weight:600}"
    "table{border-collapse:collapse;width:100%}td{padding:10px 16px 10px 0;border-bottom:1px solid var(--line)}"
    "td:first-child{width:30%}td:last-child,p,footer{color:var(--quiet)}footer{margin-top:32px;font-size:13px}"
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
    lines = []
    for path in found:
        name = path.parents[3].name
        lines.append((f"quality/{name}/cohort.html", name, state_of(home, path.parents[3])))
    return listing("Quality", lines, "No cohort has a report yet. Trigger the DAG “Prepare cohort”.")


def state_of(home: Path, cohort: Path) -> str:
    """`12 cases, 3 decided on; not signed yet`."""
    number = sum(1 for _ in (cohort / "derivatives/konsil/reports").glob("sub-*.html"))
    cases = f"{number} case{'' if number == 1 else 's'}"
    if (cohort / "cohort.json").exists():
        return f"{cases}; signed and frozen"
    try:
        decided = len(read_reviews(SiteFolder(home).cohort(cohort.name)))
    except KonsilError:
        return f"{cases}; its decisions cannot be read"
    return f"{cases}, {decided} decided on; not signed yet"


def federation_index(home: Path) -> str:
    """All federations this place knows, newest first; links are relative to `…/federation`."""
    return render("federations.html.j2", rows=rows(home))


def listing(title: str, rows: list[tuple[str, str, str]], empty: str) -> str:
    """A small page with one line per (address, name, remark); no address, no link."""
    lines = [
        f'<tr><td><a href="{escape(href)}">{escape(name)}</a></td><td>{escape(remark)}</td></tr>'
        if href
        else f"<tr><td>{escape(name)}</td><td>{escape(remark)}</td></tr>"
        for href, name, remark in rows
    ]
    body = f"<table>{''.join(lines)}</table>" if lines else f"<p>{escape(empty)}</p>"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head><body><h1>{escape(title)}</h1>{body}"
        "<footer>Research use only, not a medical device.</footer></body></html>"
    )
