"""The card that lies beside a stored model: where it comes from, who took part in what, what it is worth.

    model-card.json   figures, `konsil.model-card/1`
    model-card.md     the same for people

A card is made from the last word of the run alone, so that it says the same at every site. Its first sentence is the
report's: a model of fewer sites than planned never looks like one of all.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from konsil.federation.outcome import spans
from konsil.files import write_bytes, write_json
from konsil.parties.words import own_parts
from konsil.types import Json

FORMAT = "konsil.model-card/1"
USE = "For research use only; not a medical device."


def kept_rounds(final: Json) -> dict[str, int]:
    """Folder below the model's → round: the released model in the folder itself, the other one in `best` or `last`."""
    released, last, best = final["round"], final.get("last", final["round"]), final.get("best")
    others = {"best": best, "last": last}
    return {".": released, **{name: number for name, number in others.items() if number not in (None, released)}}


def model_card(final: Json, number: int) -> Json:
    """The card of the model of round `number`, of a run that ended with `final`. Figures are those of the result."""
    summary = final["summary"]
    charter, progress = summary["charter"], summary.get("progress", {})
    is_result = number == final["round"]
    return {
        "format": FORMAT,
        "run": summary["run"],
        "title": summary["title"],
        "sentence": final["sentence"],
        "use": USE,
        "round": number,
        "is_result": is_result,
        "rounds": {key: progress.get(key) for key in ("planned", "last", "best", "metric")},
        "validation": progress.get("figures", {}).get(str(number)),
        "model": final["model"] if is_result else None,
        "learner": charter["learner"],
        "data": charter["data"],
        "strategy": charter["strategy"],
        "start": summary.get("start"),
        "sites": summary["participation"],
        "rounds_by_site": {str(row["round"]): _cases(row) for row in summary["rounds"] if row["round"] <= number},
        "dice": summary["dice"]["federated"] if is_result else {},
        "dice_beside": beside(summary) if is_result else {},
        "fine_tuning": summary.get("fine_tuning", {}) if is_result else {},
        "without_scores": summary["without_scores"],
        "software": summary["software"],
    }


def beside(summary: Json) -> dict[str, dict[str, float | None]]:
    """Mean Dice of the models that the site trained itself, on its own test patients: heading → site → Dice."""
    dice, sites = summary["dice"], summary["evaluation"]
    crossed = {"trained alone": dice["local"], "fine-tuned": dice.get("tuned", {})}
    found = {name: {site: table[site].get(site) for site in sites if site in table} for name, table in crossed.items()}
    found |= {"personal": dice.get("personal", {})}
    return {name: values for name, values in found.items() if values}


def write_card(card: Json, folder: Path) -> None:
    """Write `model-card.json` and `model-card.md` into the folder of the model."""
    write_json(folder / "model-card.json", card)
    write_bytes(folder / "model-card.md", in_words(card).encode())


def in_words(card: Json) -> str:
    """The card as Markdown."""
    which = "the result of the run" if card["is_result"] else "not the result of the run, kept beside it"
    lines = [f"# {card['title'] or card['run']}", "", card["sentence"], "", f"**{card['use']}**", ""]
    lines += [f"- Model of round {card['round']} ({which}) of the run `{card['run']}`."]
    lines += [f"- Learner {card['learner']['name']}, updates combined by {_strategy(card['strategy'])}."]
    lines += [f"- First weights: {card['start']}."] if card["start"] else []
    lines += [f"- **{card['note']}**"] if card.get("note") else []
    channels, labels = ", ".join(card["data"]["channels"]), ", ".join(card["data"]["labels"])
    lines += [f"- Input {channels}; output {labels}."]
    if card["validation"] is not None:
        lines += [f"- {card['rounds']['metric']} on the sites' validation patients: {card['validation']:.3f}."]
    lines += [f"- {own}"] if (own := own_parts(card)) else []
    lines += [f"- {_kept(site, verdict)}" for site, verdict in card["fine_tuning"].items()]
    headings = ["Site", "training cases", "in rounds", "not in", "Dice on its test patients", *card["dice_beside"]]
    lines += ["", f"| {' | '.join(headings)} |", "|---" * len(headings) + "|"]
    lines += [_row(site, part, card) for site, part in card["sites"].items()]
    if card["dice_beside"]:
        lines += ["", f"{' and '.join(card['dice_beside'])}: Dice of the models that a site trained itself, at home."]
    if card["is_result"] and not card["dice"]:
        lines += ["", "No site tested this model."]
    return "\n".join([*lines, ""])


def _cases(row: Json) -> Json:
    return {site: part["cases"] for site, part in row["sites"].items()}


def _strategy(strategy: Any) -> str:
    return strategy if isinstance(strategy, str) else str(strategy["name"])


def _row(site: str, part: Json, card: Json) -> str:
    inside = [number for number in part["rounds"] if number <= card["round"]]
    told = [f"missed {spans(part['missed'])}"] if part["missed"] else []
    told += [f"refused in {spans(map(int, part['refused']))}"] if part["refused"] else []
    told += [f"{part['gone']} after round {part['stayed']}"] if part.get("gone") else []
    told += [] if part["answer"] == "accepted" else ["did not take part"]
    shown = [_figure(table.get(site)) for table in (card["dice"], *card["dice_beside"].values())]
    cells = [site, part["cases"] or "–", spans(inside) if inside else "–", ", ".join(told) or "–", *shown]
    return f"| {' | '.join(map(str, cells))} |"


def _figure(dice: float | None) -> str:
    return "–" if dice is None else f"{dice:.3f}"


def _kept(site: str, verdict: Json) -> str:
    return f"The model fine-tuned at {site} was {'kept there' if verdict['kept'] else 'dropped'}: {verdict['why']}."
