"""The list of federations: what each run's folder says, and of those under way what lies in the buckets."""

from __future__ import annotations

from pathlib import Path

from konsil.errors import KonsilError
from konsil.files import file_mark, read_json
from konsil.trust.membership import is_centre
from konsil.types import Json
from plugins.live import live
from plugins.names import NAME

MOST_LOOKED_AT = 12
"""Runs under way that are looked at for the list; the others say so and are looked at when they are opened."""
ENDED = {"released": "finished", "aborted": "aborted"}
EMPTY: Json = {"href": "", "report": "", "title": "", "state": "", "done": 0, "planned": 0, "remark": ""}


def rows(home: Path) -> list[Json]:
    """One row per run, newest first; addresses are relative to `…/federation`."""
    folders = [path for path in home.glob("runs/*") if path.is_dir() and NAME.fullmatch(path.name)]
    member, looked, found = is_party(home), 0, []
    for path in sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True):
        row = {**EMPTY, "name": path.name} | ended(path)
        if not row["state"]:
            looked += 1
            row |= under_way(home, path) if member and looked <= MOST_LOOKED_AT else {"remark": standing(path)}
        report = f"federation/{path.name}/report.html" if (path / "report.html").is_file() else ""
        row |= {"href": f"federation/{path.name}/now.html", "report": report} if member else {"href": report}
        found.append(row)
    return found


def is_party(home: Path) -> bool:
    """Whether a centre or a site lives in this home."""
    try:
        is_centre(home)
    except KonsilError:
        return False
    return True


def ended(folder: Path) -> Json:
    """What the summary of an ended run says; nothing for a run under way, also after an extension."""
    if file_mark(folder / "pins.json")[1] > file_mark(folder / "stored.json")[1]:
        return {}
    try:
        content = read_json(folder / "summary.json")
    except KonsilError:
        return {}
    state, progress = ENDED.get(str(content.get("outcome")), ""), content.get("progress") or {}
    done, planned = len(content.get("rounds", [])), progress.get("planned") or 0
    return {
        "state": state,
        "title": str(content.get("title") or ""),
        "remark": str(content.get("sentence", "")),
        "done": done,
        "planned": planned,
    }


def under_way(home: Path, folder: Path) -> Json:
    """How a run stands, or why that cannot be seen."""
    try:
        seen = live(home).at(folder.name)
    except KonsilError as error:
        return {"remark": error.sentence}
    doing = seen["sentence"] if seen["state"] in ("finished", "aborted") else seen["turn"]["doing"]
    count = {"done": seen["rounds"]["done"], "planned": seen["rounds"]["planned"]}
    return {"state": seen["state"], "title": seen["title"], "remark": doing, **count}


def standing(folder: Path) -> str:
    """How a federation stands, from what lies in its folder alone: in the words of its report, once there is one."""
    if (folder / "report.html").is_file():
        return told(folder / "summary.json")
    try:
        if (folder / "decision.json").is_file():
            accepted = read_json(folder / "decision.json").get("accepted")
            return "taking part" if accepted else "refused by this site"
    except KonsilError:
        return "decision cannot be read"
    return "running" if (folder / "charter.json").is_file() else "in preparation"


def told(summary: Path) -> str:
    """Title and outcome of a federation: `MS lesions. Finished: 4 rounds with all 3 sites (A, B, C).`"""
    try:
        content = read_json(summary)
    except KonsilError:
        return "report"
    title = str(content.get("title") or "").strip()
    return f"{title.rstrip('.')}. {content.get('sentence', '')}".removeprefix(". ").strip() or "report"
