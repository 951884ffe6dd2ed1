"""The page of a prediction: every case of the cohort with its lesions, in one file that loads nothing.

First what the model is and what it was worth where it was tested, then all cases in one table, then each case with the
slices that hold most of its lesions. A case without lesions, without a segmentation, or set aside says so in words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from konsil import __version__
from konsil.cohort.cases import Case
from konsil.cohort.volume import Volume, read_mask, read_volume
from konsil.errors import KonsilError
from konsil.learners.masks import Application, images_of
from konsil.prediction.location import CLASSES, CONTACT_MM
from konsil.prediction.table import DEFINITION, by_location
from konsil.quality.lesions import read_lesions
from konsil.quality.pages import digest, template_text
from konsil.quality.pages import write_page as write
from konsil.quality.panels import CaseImages, close_ups, thumbnail
from konsil.quality.pictures import Shown
from konsil.quality.sections import sections
from konsil.types import Json

if TYPE_CHECKING:
    from konsil.prediction.step import Finding


def write_page(task: Application, findings: Sequence[Finding], aside: Mapping[str, str], card: Json) -> Path:
    """Write `reports/lesions-<model>.html` below the cohort's derivatives; the same findings give the same bytes."""
    path = task.cohort.reports / f"lesions-{task.name}.html"
    images = images_of(task.cohort, task.model.channels)
    cases = [about(task, found, images.get(found.case, {})) for found in findings]
    write(
        path,
        environment()
        .get_template("lesions.html.j2")
        .render(
            style=template_text("style.css"),
            version=__version__,
            mark=digest([task.model.sha256, [case["facts"] for case in cases], dict(aside), card]),
            cohort=task.cohort.name,
            model=task.name,
            sha256=task.model.sha256,
            card=card,
            cases=cases,
            aside=dict(sorted(aside.items())),
            classes=CLASSES,
            located=any(case["by_location"] for case in cases),
            definition=DEFINITION,
            contact_mm=CONTACT_MM,
        ),
    )
    return path


@cache
def environment() -> Environment:
    """Our template, and the macros of the other pages."""
    loader = ChoiceLoader([PackageLoader("konsil.prediction"), PackageLoader("konsil.quality")])
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def about(task: Application, found: Finding, images: Mapping[str, Path]) -> Json:
    """What the template needs of one case."""
    volumes = [one.volume_ml for one in found.lesions]
    facts = {"case": str(found.case), "count": len(volumes), "total_ml": sum(volumes), "seg": found.seg}
    return {
        **facts,
        "facts": facts,
        "remark": found.remark,
        "lesions": found.lesions,
        "largest_ml": max(volumes, default=None),
        "by_location": by_location(found.lesions),
        "sheets": pictures(task, found.case, images),
    }


def pictures(task: Application, case: Case, images: Mapping[str, Path]) -> tuple[Shown, ...]:
    """The slices with most lesion; the middle slice for a case without; nothing where an image cannot be read."""
    try:
        shown = shown_images(task, case, images)
    except KonsilError:
        return ()
    if shown.lesions is not None:
        section = next(one for one in sections() if one.figure == "close_ups")
        return close_ups(shown, section) or ()
    middle = thumbnail(shown)
    return (middle,) if middle is not None else ()


def shown_images(task: Application, case: Case, images: Mapping[str, Path]) -> CaseImages:
    """FLAIR and T1w of the model's input with its mask; other channels are shown in their place."""

    def get(*names: str) -> Volume | None:
        path = next((images[name] for name in names if name in images), None)
        return read_volume(path, "an image of the case") if path is not None else None

    first = task.model.channels[0]
    brain_file = task.cohort.brain_mask(case, "FLAIR")
    mask = read_lesions(task.mask(case))
    return CaseImages(
        flair=get("FLAIR", "FLAIRBrain", first),
        t1w=None,
        registered=get("T1w", "T1wBrain"),
        lesions=mask if mask.data.any() else None,
        brain_flair=read_mask(brain_file, "the brain mask") if brain_file.is_file() else None,
        brain_t1w=None,
    )
