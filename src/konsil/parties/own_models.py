"""Models that are a site's own: how they travel together, and the folder a site keeps one in."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from konsil.federation.fine_tuning import parted
from konsil.files import write_json
from konsil.learners.protocol import Learner
from konsil.types import Json, Tensors


def taken_apart(together: Tensors, sites: Sequence[str]) -> dict[str, Tensors]:
    """The models of `sites` from one message, whose tensors are named `<site>/<name>`."""
    return {
        site: {name.removeprefix(f"{site}/"): array for name, array in together.items() if name.startswith(f"{site}/")}
        for site in sites
    }


def tested(models: Mapping[str, Tensors], score: Callable[[Tensors], Json]) -> Json:
    """Scores of the models trained at each site: `local`, and `tuned` where a message holds a tuned one beside it."""
    local, tuned = dict[str, Json](), dict[str, Json]()
    for site, tensors in models.items():
        alone, beside = parted(tensors)
        local[site] = score(alone)
        if beside:
            tuned[site] = score(beside)
    return {"local": local, **({"tuned": tuned} if tuned else {})}


def keep_own(learner: Learner, recipe: Json, tensors: Tensors, folder: Path, cards: Mapping[str, Json]) -> None:
    """Write the folder of a site's own model with its cards (file name → content), whole or not at all."""
    part = folder.with_name(f".part-{folder.name}")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    learner.save(recipe, tensors, part)
    for name, card in cards.items():
        write_json(part / name, card)
    shutil.rmtree(folder, ignore_errors=True)
    part.replace(folder)
