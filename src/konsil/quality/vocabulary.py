"""Words for what is wrong with an image: the artifacts of MRIQC's rating widget, in its order and with its keys.

Reviewers of different hospitals should call the same thing by the same name, and others should be able to read it: so
the keys are those that MRIQC writes into its rating files (Esteban et al., PLOS ONE 2017, 10.1371/journal.pone.0184661;
`rating-widget` of MRIQC 0.15 and later). The words are shorter than MRIQC's where a reviewer would trip over them.
"""

from __future__ import annotations

ARTIFACTS = {
    "head-motion": "Head motion",
    "eye-spillover": "Eyes spill over along the phase-encoding axis",
    "noneye-spillover": "Something else spills over along the phase-encoding axis",
    "coil-failure": "Coil failure",
    "noise-global": "Noise everywhere",
    "noise-local": "Noise in one place",
    "em-perturbation": "Electromagnetic interference",
    "wrap-around": "Field of view misplaced or wrapped around",
    "ghost-aliasing": "Aliasing ghosts",
    "ghosts-other": "Other ghosts",
    "inu": "Uneven intensity",
    "field-variation": "Field varies over time",
    "postprocessing": "Reconstruction or postprocessing (denoised, defaced, resampled)",
    "uncategorized": "Something else",
}
"""Key of MRIQC → words for a reviewer."""


def reason_text(artifacts: list[str], note: str) -> str:
    """One sentence from chosen artifacts and a free note: `Head motion; Coil failure: strong in the cerebellum`."""
    words = "; ".join(ARTIFACTS[key] for key in ARTIFACTS if key in artifacts)
    return ": ".join(part for part in (words, note.strip()) if part)
