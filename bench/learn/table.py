"""What the lines of `bench/learning.py` say: a table of test scores per site, and the figures that are claimed."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean, median
from typing import Any

from learn.cases import SITES

from konsil.types import Json

ROWS = {
    "local-only, at home": lambda arms, tested: arms["fedavg"][f"local.{tested}"][tested],
    "pooled": lambda arms, tested: arms["pooled"]["pooled"][tested],
    "FedAvg": lambda arms, tested: arms["fedavg"]["federated"][tested],
    "FedProx": lambda arms, tested: arms["fedprox"]["federated"][tested],
    "FedBN": lambda arms, tested: arms["fedbn"]["federated"][tested],
    "Ditto, global": lambda arms, tested: arms["ditto"]["federated"][tested],
    "Ditto, personal": lambda arms, tested: arms["ditto"]["personal"][tested],
}
NEEDED = {"fedavg", "pooled", "fedprox", "fedbn", "ditto"}
RATIOS = ("fedavg_over_pooled", "fedavg_over_local_elsewhere")
MEASURES = ("dice", "sensitivity", "precision")


def figures(lines: list[Json]) -> Json:
    """By data set: the seeds that are complete, `table.<row>.<site>.<measure>` over them, and the ratios."""
    found: Json = {}
    for data in sorted({line["data"] for line in lines}):
        ours = [line for line in lines if line["data"] == data]
        seeds = whole_seeds(ours)
        if seeds:
            found[data] = {"seeds": sorted(seeds), "setup": setup(ours), **told(list(seeds.values()))}
    return found


def whole_seeds(lines: list[Json]) -> dict[int, Json]:
    """Seed → arm → scores, of seeds of which every arm has ended."""
    seeds: dict[int, Json] = {}
    for line in lines:
        seeds.setdefault(line["seed"], {})[line["arm"]] = line["scores"]
    return {seed: arms for seed, arms in seeds.items() if arms.keys() >= NEEDED}


def setup(lines: list[Json]) -> Json:
    """How they were trained. Lines of several set-ups do not belong in one table."""
    first = {key: lines[0][key] for key in ("rounds", "batches", "planned", "on")}
    for line in lines:
        if {key: line[key] for key in first} != first:
            raise SystemExit("these lines are of several set-ups; one file, one set-up")
    return first


def told(seeds: list[Json]) -> Json:
    """Medians and ranges over seeds."""
    table: Json = {name: row(name, seeds) for name in ROWS}
    table["local-only, from elsewhere"] = {
        site: {m: spread([elsewhere(arms, site, m) for arms in seeds]) for m in MEASURES} for site in SITES
    }
    return {
        "table": table,
        "fedavg_over_pooled": spread([over(arms, lambda a, s, m: score(a, "pooled", s, m)) for arms in seeds]),
        "fedavg_over_local_elsewhere": spread([over(arms, elsewhere) for arms in seeds]),
        "fedavg_minus_local": {
            site: {
                m: spread(
                    [score(arms, "FedAvg", site, m) - score(arms, "local-only, at home", site, m) for arms in seeds]
                )
                for m in MEASURES
            }
            for site in SITES
        },
    }


def row(name: str, seeds: list[Json]) -> Json:
    """One model's scores at every site."""
    return {site: {m: spread([score(arms, name, site, m) for arms in seeds]) for m in MEASURES} for site in SITES}


def score(arms: Json, name: str, site: str, measure: str) -> float:
    """A mean over test cases; a model that finds nothing anywhere has no precision, which counts as 0."""
    return float(ROWS[name](arms, site)[measure] or 0.0)


def elsewhere(arms: Json, site: str, measure: str) -> float:
    """Mean of the other sites' local models, tested at this site."""
    return fmean(arms["fedavg"][f"local.{other}"][site][measure] or 0.0 for other in SITES if other != site)


def over(arms: Json, reference: Any) -> float:
    """FedAvg's mean Dice over the sites by that of a reference."""
    ours = fmean(score(arms, "FedAvg", site, "dice") for site in SITES)
    return ours / (fmean(reference(arms, site, "dice") for site in SITES) or float("nan"))


def spread(values: list[float]) -> list[float]:
    """Median, smallest, largest."""
    return [round(one, 4) for one in (median(values), min(values), max(values))]


def printed(found: Json) -> Iterator[str]:
    """Tables in Markdown: Dice (sensitivity), medians over seeds."""
    for data, told_ in found.items():
        yield f"\n{data}, seeds {told_['seeds']}, {told_['setup']}"
        yield "| model | " + " | ".join(f"tested at {site}" for site in SITES) + " |\n|---|" + "---|" * len(SITES)
        for name, sites in told_["table"].items():
            cells = [f"{sites[s]['dice'][0]:.3f} ({sites[s]['sensitivity'][0]:.3f})" for s in SITES]
            yield f"| {name} | " + " | ".join(cells) + " |"
        for key in RATIOS:
            yield f"{key}: {told_[key][0]:.3f} ({told_[key][1]:.3f} to {told_[key][2]:.3f})"
        for site, change in told_["fedavg_minus_local"].items():
            yield f"FedAvg less local at {site}: " + ", ".join(f"{m} {v[0]:+.3f}" for m, v in change.items())
