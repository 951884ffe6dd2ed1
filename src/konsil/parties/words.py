"""The plain lines that centre and site write into their logs, one per round, and words that pages and cards share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from konsil.federation.mailbox import Letter
from konsil.federation.steps import Aggregate
from konsil.types import Json

TITLES = {
    "loss": "Training loss",
    "train_loss": "Training loss",
    "validation_loss": "Validation loss",
    "dice": "Validation Dice",
    "pseudo_dice": "Validation Dice on patches (pseudo Dice)",
}
QUIET = {"seconds", "learning_rate"}
"""Metrics that are sent but say nothing about the model: neither logged per round nor drawn."""

OWN_LAYERS = "Each site tested this model with its own normalisation layers, as FedBN wants it."
NAMED = 40
"""Tensors that a sentence names."""
LARGEST, MOST = 1e12, 50
"""Bounds of what a site may claim: the size of a figure, and how many there are."""


def taken_line(model: str, taken: int, drawn: Sequence[str]) -> str:
    """`108 tensors of ms-1` or `96 tensors of ms-1; 12 drawn, because it has none of their name and shape: …`."""
    line = f"{taken} tensors of {model}"
    if not drawn:
        return line
    more = f" and {len(drawn) - NAMED} more" if len(drawn) > NAMED else ""
    names = ", ".join(drawn[:NAMED])
    return f"{line}; {len(drawn)} drawn, because it has none of their name and shape: {names}{more}"


def own_parts(rules: Json) -> str:
    """What of the federated model is a site's own where it was tested; "" under most strategies.

    `rules` has `strategy` as a charter writes it.
    """
    strategy = rules["strategy"]
    name = strategy if isinstance(strategy, str) else strategy["name"]
    own = [] if isinstance(strategy, str) else sorted(strategy.get("settings") or {})
    if name == "fedbn":
        return OWN_LAYERS
    return f"A network of their own plan was trained and tested at {', '.join(own)}." if own else ""


def setting_rows(settings: Json) -> list[tuple[str, str]]:
    """Settings of a learner in a reader's words: (`batches per epoch`, `250`), (`network: patch size`, `8 × 8 × 8`)."""
    rows: list[tuple[str, str]] = []
    for name, value in settings.items():
        words = name.replace("_", " ")
        if isinstance(value, Mapping):
            rows += [(f"{words}: {inner}", told) for inner, told in setting_rows(dict(value))]
        else:
            rows.append((words, setting_value(value, sizes=name.endswith("_size"))))
    return rows


def setting_value(value: object, *, sizes: bool = False) -> str:
    """One value in words; `sizes`: a list of numbers is voxels along the axes."""
    if value is None or isinstance(value, bool):
        return {None: "not set", True: "yes", False: "no"}[value]
    if isinstance(value, list | tuple):
        return (" × " if sizes else ", ").join(setting_value(one) for one in value) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def telling(names: Iterable[str]) -> list[str]:
    """The metrics that are shown, the known ones first."""
    order = list(TITLES)
    shown = [name for name in set(names) if name not in QUIET]
    return sorted(shown, key=lambda name: (order.index(name) if name in order else len(order), name))


def figures_line(metrics: Mapping[str, float], seconds: float) -> str:
    """`loss 0.412, dice 0.731, 12.4 s`."""
    return ", ".join([*(f"{name} {metrics[name]:.3f}" for name in telling(metrics)), f"{seconds:.1f} s"])


def round_line(step: Aggregate, rounds: int, letters: Mapping[str, Letter], opened: datetime) -> str:
    """`round 3 of 50: A, B; loss 0.412, dice 0.731, 12.4 s; without C (no update)`. Figures are means over cases."""
    facts = {site: letters[site].manifest.facts for site in step.sites}
    last = max(letters[site].received for site in step.sites)
    text = f"round {step.round} of {rounds}: {', '.join(step.sites)}; "
    text += figures_line(weighted(facts), (last - opened).total_seconds())
    absent = [f"{site} (no update)" for site in step.missing] + [f"{site} (refused)" for site in step.refused]
    absent += [f"{site} ({how})" for site, how in step.gone.items()]
    return f"{text}; without {', '.join(absent)}" if absent else text


def weighted(facts: Mapping[str, Json]) -> dict[str, float]:
    """Means of the metrics that every site reports, weighted by cases."""
    tables = [number_table(fact) for fact in facts.values()]
    common = set.intersection(*map(set, tables)) if tables else set()
    total = sum(fact["cases"] for fact in facts.values())
    return {
        key: sum(table[key] * fact["cases"] for table, fact in zip(tables, facts.values(), strict=True)) / total
        for key in common
    }


def by_site(facts: Mapping[str, Json]) -> dict[str, float]:
    """Figures of a round for a plot: means over cases by name, and every site's as `<site>/<name>`."""
    single = {f"{site}/{name}": value for site, fact in facts.items() for name, value in number_table(fact).items()}
    return weighted(facts) | single


def number_table(facts: Json) -> dict[str, float]:
    """The metrics of an update that are numbers in their range; whatever else a site wrote there is left out."""
    metrics = facts.get("metrics")
    found = list(metrics.items())[:MOST] if isinstance(metrics, dict) else ()
    return {str(key)[:40]: float(value) for key, value in found if _is_figure(str(key), value)}


def _is_figure(name: str, value: object) -> bool:
    """A share lies between 0 and 1, everything else within what can be added up without overflow."""
    low, high = (0, 1) if name.endswith("dice") else (-LARGEST, LARGEST)
    return type(value) in (int, float) and low <= value <= high  # type: ignore[operator]
