"""What BIDS wants to know about a derived file, told from its name.

BIDS 1.10 ("Derivatives", "Common data types and metadata") requires `SkullStripped` beside every derived image, and
`SpatialReference` beside every one in a space of its own, here that of the same visit's oriented FLAIR or T1w. Files
are named by BIDS URIs: `bids::` begins at the derivative's own root, `bids:raw:` at the raw data set's (`DatasetLinks`
in its dataset_description.json).
"""

from __future__ import annotations

import re
from pathlib import Path

from konsil.types import Json

SPACE = re.compile(r"_space-([A-Za-z0-9]+)_")
RAW = "raw"
DESCRIPTIONS = {
    "_desc-oriented_": "The raw image with its axes in RAS+ order; nothing is resampled.",
    "_desc-brain_mask": "The brain on the grid of the oriented image: 1 inside, 0 outside.",
    "_desc-registered_": "The raw T1w, resampled once onto the grid of the oriented FLAIR.",
    "_desc-brain_": "The image on the grid of the oriented FLAIR, 0 outside the brain and a margin.",
    "_label-L_mask": "Lesions on the grid of the oriented FLAIR: 1 inside, 0 outside.",
    "_xfm": "Rigid transform in ITK's text format: maps points of the FLAIR to points of the T1w, LPS mm.",
}


def derived_facts(path: Path) -> Json:
    """`Description`, `SkullStripped` and `SpatialReference` of a derived file, as far as its name calls for them."""
    facts: Json = {}
    described = next((text for part, text in DESCRIPTIONS.items() if part in path.name), "")
    if described:
        facts["Description"] = described
    if path.name.endswith(("_T1w.nii.gz", "_FLAIR.nii.gz")):
        facts["SkullStripped"] = "_desc-brain_" in path.name
    space = SPACE.search(path.name)
    if space:
        case = path.name[: path.name.index("_space-")]
        facts["SpatialReference"] = uri(path.with_name(f"{case}_desc-oriented_{space.group(1)}.nii.gz"))
    return facts


def uri(path: Path) -> str:
    """How a derived file names another one: `bids::sub-…` or `bids:raw:sub-…`; outside a data set, its name alone."""
    roots = [k for k, part in enumerate(path.parts[:-1]) if part.startswith("sub-")]
    if not roots:
        return path.name
    own = roots[0] >= 2 and path.parts[roots[0] - 2] == "derivatives"
    return f"bids:{'' if own else RAW}:{'/'.join(path.parts[roots[0] :])}"
