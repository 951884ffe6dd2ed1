"""The interactive view of one case in three planes: which files it may have, and with which policy.

NiiVue (plugins/viewer/NOTICE) draws in the browser with WebGL 2. The page may run the two scripts served beside it and
talk to this server; images are files of the one case, found through the names that `CohortFolder` gives out.
"""

from __future__ import annotations

from pathlib import Path

from konsil.cohort.cases import Case
from konsil.cohort.folder import SiteFolder
from konsil.errors import KonsilError

HERE = Path(__file__).parent / "viewer"
SCRIPTS = ("niivue-0.69.0.js", "viewer.js")
POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self' data: blob:; img-src data: blob:; worker-src blob:; "
    "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)


def case_images(home: Path, cohort: str, case: str) -> dict[str, Path]:
    """The images of a case by the name the viewer calls them; none for a name that is none, or leads out."""
    try:
        folder, one = SiteFolder(home).cohort(cohort), Case.parse(case)
    except KonsilError:
        return {}
    images = {
        "FLAIR": folder.oriented(one, "FLAIR"),
        "T1w": folder.registered(one),
        "T1w-as-scanned": folder.oriented(one, "T1w"),
        "lesions": folder.lesions(one),
        "brain": folder.brain_mask(one, "FLAIR"),
    }
    root = folder.path.resolve()
    inside = home.resolve() / "cohorts"
    if not root.is_relative_to(inside):
        return {}
    return {name: path for name, path in images.items() if path.is_file() and path.resolve().is_relative_to(root)}


def script(name: str) -> Path | None:
    """One of the two scripts of the viewer."""
    return HERE / name if name in SCRIPTS else None
