"""What is left of a demo: `summary.json`, the table of Dice, and where the reports lie.

`summary.json` is `{"minutes", "rounds", "dice": {"federated": {site}, "local": {trained at: {tested at}}}, "reports"}`;
every Dice is the mean over the test patients of the site, None where it is not defined.
"""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from konsil.demo.plan import DemoPlan
from konsil.demo.voice import Voice
from konsil.files import read_json, write_json
from konsil.stack.accounts import passwords
from konsil.stack.places import CENTRE, read_plan
from konsil.types import Json


def summarise(plan: DemoPlan, minutes: float) -> Json:
    """Collect the figures of the released summary and write `summary.json`."""
    (centre,) = read_plan(plan.stack).only([CENTRE])
    released = read_json(centre.home / "runs" / plan.run / "summary.json")
    summary: Json = {
        "minutes": round(minutes, 1),
        "rounds": len(released["rounds"]),
        "sentence": released["sentence"],
        "dice": released["dice"],
        "reports": [str(path) for path in reports(plan)],
    }
    write_json(plan.folder / "summary.json", summary)
    return summary


def reports(plan: DemoPlan) -> list[Path]:
    """The federation report first, then each site's cohort report."""
    places = read_plan(plan.stack)
    (centre,) = places.only([CENTRE])
    cohorts = [
        place.home / "cohorts" / plan.cohort / "derivatives" / "konsil" / "reports" / "cohort.html"
        for place in places.only(plan.sites)
    ]
    return [path for path in (centre.home / "runs" / plan.run / "report.html", *cohorts) if path.exists()]


def table(plan: DemoPlan, dice: Json) -> Table:
    """Test Dice: one row per model, one column per site whose patients were segmented."""
    shown = Table(title="Mean Dice on the held-out patients of each site")
    shown.add_column("model")
    for site in plan.sites:
        shown.add_column(f"patients of {site}", justify="right")
    rows = {"federated": dice["federated"]} | {
        f"trained at {site} alone": dice["local"].get(site, {}) for site in plan.sites
    }
    for name, row in rows.items():
        values = [row.get(site) for site in plan.sites]
        shown.add_row(name, *("–" if value is None else f"{value:.3f}" for value in values))
    return shown


def tell_end(plan: DemoPlan, summary: Json, voice: Voice) -> None:
    """The table and the paths."""
    voice.console.print(table(plan, summary["dice"]))
    voice.say(f"{summary['sentence']} {summary['minutes']:.1f} minutes in all.")
    for path in summary["reports"]:
        voice.say(f"report: {path}")
    voice.say(f"figures: {plan.folder / 'summary.json'}")


def tell_doors(plan: DemoPlan, voice: Voice) -> None:
    """Addresses and logins of what was left running."""
    for place in read_plan(plan.stack).places:
        logins = ", ".join(f"{account} / {password}" for account, password in passwords(place).items())
        voice.say(f"{place.name:7} {place.url}   {logins}")
    voice.say("konsil demo stop ends it")
