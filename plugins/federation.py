"""The tab *Federation*: the runs of this place, each run as it stands, and what can be said to it.

Everything is drawn here, escaped by the templates; the page's script only puts what is new in place of what was there
(`now`, every few seconds) and sends a word when somebody has confirmed it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import HTTPException, Request

from konsil.errors import KonsilError
from konsil.federation.control import Action
from konsil.parties import steering
from konsil.settings import Settings
from konsil.trust.roster import CENTRE
from konsil.types import Json
from plugins import access
from plugins.curves import curves
from plugins.drawing import render
from plugins.live import live
from plugins.names import NAME

PARTS = ("standing", "sites", "curves", "rounds", "words")
LOOK_ONLY = {
    True: "You may look; whoever may edit the DAG Run federation steers.",
    False: "You may look; whoever may edit the DAG Join federation decides here.",
}
LEAVING = "Leaving is for good, so a custodian of this site decides; you may pause here."


def picture(home: Path, run: str) -> Json:
    """How a run stands; 404 for what is no run of this place, 409 with a sentence where it cannot be seen."""
    if not NAME.fullmatch(run) or not (home / "runs" / run).is_dir():
        raise HTTPException(404, "There is no such run.")
    try:
        return live(home).at(run)
    except KonsilError as error:
        raise HTTPException(409, error.sentence) from error


def run_page(home: Path, run: str, user: Any) -> str:
    """The page of a run; one that cannot be seen says why."""
    try:
        seen = picture(home, run)
    except HTTPException as error:
        if error.status_code != 409:
            raise
        return render("problem.html.j2", title=run, problem=error.detail)
    return render("run.html.j2", s=seen, parts=parts(home, seen), **rights(seen, user))


def now(home: Path, run: str, user: Any) -> Json:
    """What the page of a run refreshes itself with: markup by part, and which words can be said."""
    seen = picture(home, run)
    told = rights(seen, user)
    return {"parts": parts(home, seen), "may": told["may"], "state": seen["state"]}


def parts(home: Path, seen: Json) -> dict[str, str]:
    """The parts of a run's page as markup."""
    report = (home / "runs" / seen["run"] / "report.html").is_file()
    values = {"s": seen, "report": report, "centre": seen["me"] == CENTRE, "charts": curves(seen)}
    return {name: render(f"run_{name}.html.j2", **values) for name in PARTS}


def rights(seen: Json, user: Any) -> Json:
    """What this account can say to the run as it stands, and why not more."""
    centre = seen["me"] == CENTRE
    if not access.may_edit(access.CENTRE_DAG if centre else access.SITE_DAG, user):
        return {"centre": centre, "may": {}, "why": LOOK_ONLY[centre]}
    may = dict(seen["may"])
    if may.get("leave") and not may_leave(user):
        may["leave"] = False
    return {"centre": centre, "may": may, "why": ""}


def may_leave(user: Any) -> bool:
    """Whether this account is a custodian: who decided that the site takes part decides that it does not any more."""
    return access.is_one_of(Settings().custodians, user)


def say(home: Path, run: str, user: Any, request: Request, asked: Json) -> Json:
    """Say a word to a run in the name of this account; 403, 400 or 409 with a sentence otherwise."""
    access.refuse_strangers(request, access.WORD, "A run is steered from the pages of this site only.")
    seen = picture(home, run)
    told = rights(seen, user)
    if told["why"]:
        raise HTTPException(403, told["why"])
    word = str(asked.get("word", ""))
    if word == "leave" and not told["centre"] and not may_leave(user):
        raise HTTPException(403, LEAVING)
    try:
        _said(home, run, word, asked, user.get_name(), centre=told["centre"])
    except KonsilError as error:
        raise HTTPException(409, error.sentence) from error
    finally:
        live(home).forget(run)
    return now(home, run, user)


def _said(home: Path, run: str, word: str, asked: Json, by: str, *, centre: bool) -> None:
    """The same functions as `konsil steer`, `leave`, `hold` and `go-on`."""
    why = str(asked.get("why", ""))
    if centre and word in list(Action):
        rounds = asked.get("rounds", 0)
        if type(rounds) is not int or (word == Action.EXTEND and rounds < 1):
            raise HTTPException(400, "The number of rounds is not usable: expected a whole number of at least 1.")
        steering.steer(home, run, Action(word), why=why, site=str(asked.get("site", "")), rounds=rounds, by=by)
    elif not centre and word == "leave":
        steering.leave(home, run, why=why, by=by)
    elif not centre and word == "hold":
        steering.hold(home, run, why=why, by=by)
    elif not centre and word == "go_on":
        steering.go_on(home, run, by=by)
    else:
        raise HTTPException(400, "There is no such word for this place.")
