"""The tab *Governance* of a site: charters and decisions, standing policies, what leaves, and the audit log.

Deciding on a charter happens under *Required Actions*, which asks the right person; here one reads, and a custodian
can end a standing policy.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import HTTPException, Request

from konsil.errors import KonsilError
from konsil.federation.audit_check import verify
from konsil.files import read_json
from konsil.parties.approvals import approvals
from konsil.parties.dossier import dossier
from konsil.parties.policies import policies, revoke_policy
from konsil.settings import Settings
from konsil.trust.audit import Audit
from konsil.types import Json
from plugins import access
from plugins.drawing import render
from plugins.live import live
from plugins.names import NAME
from plugins.runs import is_party

MOST_ENTRIES = 200
ONLY_SITES = "Governance belongs to a site: a custodian decides there. The centre proposes."


def index(home: Path, user: Any) -> str:
    """Charters, policies, and the state of the log."""
    if not is_party(home) or (home / "centre.json").is_file():
        return render("problem.html.j2", title="Governance", problem=ONLY_SITES if is_party(home) else nobody(home))
    return render(
        "governance.html.j2",
        charters=charters(home),
        policies=[one.as_json() for one in policies(home)],
        may=may_decide(user),
        log=checked(home),
    )


def nobody(home: Path) -> str:
    """Why there is nothing to govern."""
    return "Nobody lives in this home yet: a site joins with konsil site join."


def may_decide(user: Any) -> bool:
    """Whether this account is a custodian who may edit the DAG that asks custodians."""
    return access.may_edit(access.SITE_DAG, user) and access.is_one_of(Settings().custodians, user)


def charters(home: Path) -> list[Json]:
    """Every run this site knows with the decision that stands: first those that wait for one, then the newest."""
    voided = {given.run: given.why for given in approvals(home) if given.approval is None}
    found = []
    for folder in (path for path in (home / "runs").glob("*") if path.is_dir() and NAME.fullmatch(path.name)):
        row: Json = {
            "run": folder.name,
            "title": "",
            "decision": None,
            "problem": voided.get(folder.name, ""),
            "at": "",
        }
        try:
            row["title"] = live(home).at(folder.name)["title"]
        except KonsilError as error:
            row["problem"] = row["problem"] or error.sentence
        if (folder / "decision.json").is_file():
            row["decision"] = read_json(folder / "decision.json")
            row["at"] = str(row["decision"].get("at", ""))
        found.append(row)
    newest = sorted(found, key=lambda row: str(row["at"]), reverse=True)
    return sorted(newest, key=lambda row: row["decision"] is not None)


def charter_page(home: Path, run: str) -> str:
    """Everything about one charter; 404 for what is no run here."""
    if not NAME.fullmatch(run) or not (home / "runs" / run).is_dir():
        raise HTTPException(404, "There is no such charter.")
    try:
        settings = Settings()
        found = dossier(home, run, settings.image, settings.reviewed_only)
    except KonsilError as error:
        return render("problem.html.j2", title=run, problem=error.sentence)
    return render("charter.html.j2", c=found)


def audit_page(home: Path, *, published: bool) -> str:
    """The newest entries, and whether the log holds; `published`: also against what its messages say."""
    entries = list(Audit(home / "audit.jsonl").entries()) if checked(home)["readable"] else []
    log = checked(home, offline=not published)
    return render("audit.html.j2", log=log, published=published, entries=entries[::-1][:MOST_ENTRIES], all=len(entries))


def checked(home: Path, *, offline: bool = True) -> Json:
    """What the check of the audit log says."""
    try:
        found = verify(home, offline=offline)
    except KonsilError as error:
        return {"holds": False, "sentence": error.sentence, "others": (), "readable": _is_readable(home)}
    told = f"{found.entries} entries, chain unbroken." if offline else found.sentence
    return {"holds": not found.others, "sentence": told, "others": found.others, "readable": True}


def _is_readable(home: Path) -> bool:
    try:
        return all(isinstance(entry, dict) for entry in Audit(home / "audit.jsonl").entries())
    except KonsilError:
        return False


def revoke(home: Path, name: str, user: Any, request: Request, asked: Json) -> Json:
    """End a standing policy in the name of this account."""
    access.refuse_strangers(request, access.WORD, "A policy is revoked from the pages of this site only.")
    if not may_decide(user):
        raise HTTPException(403, "You may look; a custodian of this site decides.")
    try:
        found = revoke_policy(home, name, by=user.get_name(), reason=str(asked.get("why", ""))[:200])
    except KonsilError as error:
        raise HTTPException(409, error.sentence) from error
    return {"name": found.name, "state": found.state}
