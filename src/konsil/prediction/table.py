"""The lesions of a cohort as tables: CSV, one line per lesion, and the same with totals as JSON.

Numbers are millilitres and RAS millimetres of the FLAIR. A case without lesions has no line in the CSV and is in the
JSON with a count of 0.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from konsil.files import read_json, write_bytes, write_json
from konsil.learners.masks import Application
from konsil.prediction.location import CLASSES, Lesion
from konsil.types import Json

if TYPE_CHECKING:
    from konsil.prediction.step import Finding

COLUMNS = ("case", "lesion", "label", "location", "volume_ml", "x_mm", "y_mm", "z_mm")
DEFINITION = (
    "Infratentorial: brainstem or cerebellum; periventricular: touches a ventricle; juxtacortical: touches the cortex; "
    "deep white matter: anything else. The first that fits counts (Thompson et al. 2018, "
    "doi:10.1016/S1474-4422(17)30470-2; Filippi et al. 2019, doi:10.1093/brain/awz144). Lateral ventricles are dark "
    "on the FLAIR and cortex is grey on the T1w near where the MNI152 atlas has them; the tentorium is the atlas's, "
    "laid on the head by an affine transform: a hint for the reader, not a measurement."
)


def write_tables(task: Application, findings: Sequence[Finding]) -> None:
    """Write `desc-<model>_lesions.csv` and add to the `.json` that the masks' step wrote."""
    write_bytes(task.table.with_suffix(".csv"), as_csv(findings).encode())
    before = read_json(task.table) if task.table.is_file() else {"cases": {}}
    located = {str(one.case): as_json(one) for one in findings}
    write_json(
        task.table, {**before, "located": located, "classes": {"names": list(CLASSES), "definition": DEFINITION}}
    )


def as_csv(findings: Sequence[Finding]) -> str:
    """One line per lesion, numbered within its case from the largest on."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for found in findings:
        for number, one in enumerate(found.lesions, start=1):
            place = [f"{mm:.1f}" for mm in one.centre_mm]
            writer.writerow([found.case, number, one.label, one.location, f"{one.volume_ml:.4f}", *place])
    return text.getvalue()


def as_json(found: Finding) -> Json:
    """One case: its lesions, how many lie where, and what has to be said."""
    return {
        "lesions": [asdict(one) for one in found.lesions],
        "by_location": by_location(found.lesions),
        "segmentation": found.seg or "written",
        "remark": found.remark,
    }


def by_location(lesions: Sequence[Lesion]) -> dict[str, int]:
    """How many lesions lie where; classes without any are told as 0, unless no lesion has a class."""
    counted = Counter(one.location for one in lesions)
    return {name: counted[name] for name in CLASSES} if not counted[""] else {}
