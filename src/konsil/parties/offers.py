"""What a place has that a person chooses from in a form: name → what it is recognised by, the newest first.

Cohorts are told by `konsil.cohort.shelf`; here is what federations left or need. Read anew whenever somebody asks, from
the home alone; the store is not asked. What cannot be read is left out: whoever types its name is told why.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from konsil.cohort.shelf import newest
from konsil.errors import KonsilError
from konsil.learners.registry import card_of
from konsil.parties.reviewers import trusted
from konsil.parties.start import RECIPE, WEIGHTS
from konsil.parties.workflows import FOLDER, workflows
from konsil.trust.roster import Roster
from konsil.types import Json


def models(home: Path) -> dict[str, str]:
    """Models that are stored here and whole: what lesions can be drawn with."""
    return {folder.name: model_words(folder.name, card) for folder, card in stored(home) if not card.get("lacks")}


def given_models(home: Path) -> dict[str, str]:
    """Those of them whose weights a new federation can start from."""
    ready = [path.parent.name for path in home.glob(f"models/*/{WEIGHTS}") if (path.parent / RECIPE).is_file()]
    return {name: words for name, words in models(home).items() if name in ready}


def sites(home: Path) -> dict[str, str]:
    """The sites that have joined; empty where no centre lives."""
    try:
        return {name: name for name in Roster.load(home).sites}
    except KonsilError:
        return {}


def reviewed_workflows(home: Path) -> dict[str, str]:
    """Published learners whose review counts here."""
    found = [one for one in workflows(home / FOLDER, trusted(home)) if one.state == "approved"]
    return {one.name: f"{one.name} (by {one.workflow.author.name})" for one in found if one.workflow}


def unfinished_runs(home: Path) -> dict[str, str]:
    """Federations that this place knows and that have not ended."""
    folders = newest(path for path in home.glob("runs/*") if path.is_dir() and not path.name.startswith("."))
    return {path.name: path.name for path in folders if not (path / "summary.json").exists()}


def stored(home: Path) -> Iterator[tuple[Path, Json]]:
    """Each stored model with its card."""
    for folder in newest(path.parent for path in home.glob("models/*/model-card.json")):
        try:
            yield folder, card_of(folder)
        except KonsilError:
            continue


def model_words(name: str, card: Json) -> str:
    """`ms-1 (MS lesions; round 50 of 50)`, as far as the card says so."""
    title, number, planned = card.get("title"), card.get("round"), (card.get("rounds") or {}).get("planned")
    rounds = f"round {number} of {planned}" if planned else f"round {number}" if number is not None else ""
    words = "; ".join(str(part) for part in (title, rounds) if part)
    return f"{name} ({words})" if words else name
