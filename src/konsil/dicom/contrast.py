"""Which contrast a series has, told from how it was made.

Names of series are habits of a hospital; physics is the same everywhere. T1 weighting needs a short echo (little T2
decay) and either a short repetition or an inversion of about 0.3 to 1.3 s; T2 weighting needs a long echo and a long
repetition; FLAIR is T2 weighting with an inversion of 1.3 s or more, chosen so that water crosses zero (TI = T1(CSF) *
ln 2 for long TR, about 2.5 s in 2D; 1.6 to 2.3 s where TR is about 5 s, as in 3D; Hajnal et al., J Comput Assist
Tomogr 1992; 1.4 s at 64 mT). The thresholds lie in the gaps between the protocols in common use, not at their edges.

`classify` goes through RULES in order; the first that holds decides. Every answer comes with the values that led to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.uid import SegmentationStorage

from konsil.dicom.physics import Physics, physics_of, words

T1W, FLAIR, SEG = "T1w", "FLAIR", "SEG"
T1W_POST = "T1w post-contrast"

SHORT_ECHO_MS = 40.0
LONG_ECHO_MS = 60.0
SHORT_REPETITION_MS = 1100.0
LONG_REPETITION_MS = 2000.0
T1_INVERSION_MS = (250.0, 1300.0)
FLAIR_INVERSION_MS = (1300.0, 3500.0)
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


@dataclass(frozen=True)
class Contrast:
    """What a series shows, and the sentence that says why."""

    name: str
    why: str


def classify(header: Dataset) -> Contrast:
    """The contrast of a series from one of its headers: T1w, T1w post-contrast, FLAIR, T2w, PDw, SEG … or `other`."""
    if header.get("SOPClassUID") == SegmentationStorage:
        return Contrast(SEG, "It is a DICOM segmentation.")
    if str(header.get("SOPClassUID", "")).startswith(SECONDARY_CAPTURE):
        return Contrast("secondary capture", "It is a secondary capture: a picture, possibly with text burned in.")
    if words(header, "BurnedInAnnotation") == ("YES",):
        return Contrast("annotated picture", "It has text burned into its pixels, which may name the patient.")
    if words(header, "Modality") != ("MR",):
        modality = " ".join(words(header, "Modality"))[:16] or "not named"
        return Contrast("other", f"It is not MR (modality {modality}).")
    facts = physics_of(header)
    for name, reason, holds in RULES:
        if holds(facts):
            return Contrast(name, f"It {reason} ({facts.sentence()}).")
    return Contrast("other", f"Its timing fits neither T1w nor FLAIR ({facts.sentence()}).")


def in_range(value: float | None, limits: tuple[float, float]) -> bool:
    """`value` is known and lies in [low, high)."""
    return value is not None and limits[0] <= value < limits[1]


def is_special(facts: Physics) -> bool:
    """Echo planar, diffusion or angiography: fast or flow images, never the anatomical pair."""
    return "EP" in facts.sequence or facts.diffusion or facts.angiography


def is_not_magnitude(facts: Physics) -> bool:
    """Phase, real or imaginary part, or a computed map, by value 3 and following of the image type."""
    parts = {
        "P",
        "PHASE",
        "PHASE MAP",
        "R",
        "REAL",
        "I",
        "IMAGINARY",
        "ADC",
        "FA",
        "T1 MAP",
        "T2 MAP",
        "CBF",
        "CBV",
        "MTT",
    }
    return bool(parts & set(facts.image_type[2:]))


def is_flair(facts: Physics) -> bool:
    """Inversion long enough to null water, long echo, long repetition."""
    inversion = facts.ti_ms is None or in_range(facts.ti_ms, FLAIR_INVERSION_MS)
    return (
        facts.inverted
        and inversion
        and at_least(facts.te_ms, LONG_ECHO_MS)
        and at_least(facts.tr_ms, LONG_REPETITION_MS)
    )


def is_t1w(facts: Physics) -> bool:
    """Short echo, and T1 weighting by inversion, by short repetition (spin echo), or by flip angle (gradient echo)."""
    if facts.te_ms is None or facts.tr_ms is None or facts.te_ms >= SHORT_ECHO_MS:
        return False
    if in_range(facts.ti_ms, T1_INVERSION_MS):
        return True
    if facts.inverted and facts.ti_ms is not None:
        return False
    if facts.sequence & {"GR"}:
        steady = "SS" in facts.variant and not facts.variant & {"SP", "MP"}
        return facts.te_ms < 15 and facts.tr_ms < SHORT_REPETITION_MS and not steady and (facts.flip_deg or 8) >= 6
    return facts.tr_ms < SHORT_REPETITION_MS


def at_least(value: float | None, limit: float) -> bool:
    """`value` is known and not below `limit`."""
    return value is not None and value >= limit


Rule = tuple[str, str, Callable[[Physics], bool]]
RULES: tuple[Rule, ...] = (
    ("localiser", "is a localiser", lambda f: bool({"LOCALIZER", "SCOUT"} & set(f.image_type))),
    ("other", "is an echo-planar, diffusion or angiographic image", is_special),
    ("other", "is a phase image or a computed map", is_not_magnitude),
    ("other", "names no echo or repetition time, so its contrast cannot be told", lambda f: not f.te_ms or not f.tr_ms),
    (FLAIR, "inverts long enough to null water and has a long echo", is_flair),
    (T1W_POST, "is T1-weighted and was made after a contrast agent", lambda f: is_t1w(f) and f.contrast_agent),
    (T1W, "is T1-weighted", is_t1w),
    ("STIR", "inverts briefly, which nulls fat", lambda f: f.inverted and in_range(f.ti_ms, (1, T1_INVERSION_MS[0]))),
    ("T2*w", "is a gradient echo with a long echo", lambda f: "GR" in f.sequence and at_least(f.te_ms, 15)),
    ("T2w", "is T2-weighted", lambda f: at_least(f.te_ms, LONG_ECHO_MS) and at_least(f.tr_ms, LONG_REPETITION_MS)),
    (
        "PDw",
        "is proton-density-weighted",
        lambda f: not at_least(f.te_ms, LONG_ECHO_MS) and at_least(f.tr_ms, LONG_REPETITION_MS),
    ),
)
