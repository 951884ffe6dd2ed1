"""Which contrast a series has, told from how it was made.

Names of series are habits of a hospital; physics is the same everywhere. T1 weighting needs a short echo (little T2
decay) and either a short repetition or an inversion of about 0.3 to 1.3 s; T2 weighting needs a long echo and a long
repetition; FLAIR is T2 weighting after an inversion that nulls water: TI = T1 (ln 2 - ln(1 + exp(-TR / T1))), with T1
of cerebrospinal fluid about 4.3 s at every field strength (Hajnal et al., J Comput Assist Tomogr 1992; Lin et al., J
Magn Reson Imaging 2001). The protocols in common use lie between 0.84 and 1.1 times this time; double inversion (DIR)
notes its first, longer one, above 1.3. The thresholds lie in the gaps between protocols, not at their edges.

`classify` goes through RULES in order; the first that holds decides. Every answer comes with the values that led to it.
What the image itself says is asked later, and only to doubt or to ask (`konsil.dicom.fluid`, `konsil.dicom.choice`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.uid import SegmentationStorage

from konsil.dicom.burned import captured
from konsil.dicom.physics import Physics, physics_of, words
from konsil.dicom.vocabulary import coded

T1W, FLAIR, SEG = "T1w", "FLAIR", "SEG"
T1W_POST = "T1w post-contrast"
UNTOLD, T2W, ODD_INVERSION = "not told", "T2w", "T2w after another inversion"

SHORT_ECHO_MS = 40.0
LONG_ECHO_MS = 60.0
SHORT_REPETITION_MS = 1100.0
LONG_REPETITION_MS = 2000.0
T1_INVERSION_MS = (250.0, 1300.0)
T1_OF_FLUID_MS = 4300.0
NULLING = (0.65, 1.25)
"""An inversion time counts as nulling water if it is within these multiples of the time that the formula gives."""
TWO_INVERSIONS_MS = 4000.0
"""Gradient echo trains after an inversion repeat faster than this (MPRAGE: 1.5 to 3 s), those of MP2RAGE slower."""
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
        modality = " ".join(coded(words(header, "Modality"))) or "not known"
        return Contrast("other", f"It is not MR (modality {modality}).")
    picture = captured(header)
    if picture:
        return Contrast("annotated picture", f"It may have text burned into its pixels: {picture}.")
    facts = physics_of(header)
    for name, reason, holds in RULES:
        if holds(facts):
            return Contrast(name, f"It {reason} ({facts.sentence()}).")
    return Contrast("other", f"Its timing fits neither T1w nor FLAIR ({facts.sentence()}).")


def in_range(value: float | None, limits: tuple[float, float]) -> bool:
    """`value` is known and lies in [low, high)."""
    return value is not None and limits[0] <= value < limits[1]


SPECIAL_CONTRASTS = {"DIFFUSION", "PERFUSION", "FLOW_ENCODED", "TOF", "TAGGING"}
SPECIAL_PARTS = {"DIFFUSION", "TRACEW", "PERFUSION", "ASL", "FMRI", "MIP", "PROJECTION IMAGE", "PCA", "TOF"}
PARTS = {
    *("P", "PHASE", "PHASE MAP", "R", "REAL", "I", "IMAGINARY"),
    *("ADC", "FA", "T1 MAP", "T2 MAP", "R2 MAP", "CBF", "CBV", "MTT", "B0", "B1", "FIELD MAP"),
    *("F", "FAT", "OP", "OPP_PHASE", "OUT_PHASE"),
}


def is_special(facts: Physics) -> bool:
    """Echo planar, diffusion, perfusion or angiography: fast or flow images, never the anatomical pair."""
    special = facts.diffusion or facts.angiography or facts.weighting in SPECIAL_CONTRASTS
    return "EP" in facts.sequence or special or bool(SPECIAL_PARTS & set(facts.image_type[2:]))


def is_part(facts: Physics) -> bool:
    """Phase, real or imaginary part, fat or opposed phase, or a map, by value 3 and following of the image type."""
    return bool(PARTS & set(facts.image_type[2:]))


def nulling_ms(tr_ms: float) -> float:
    """The inversion time in ms at which water gives no signal, for a repetition time in ms (formula above)."""
    return T1_OF_FLUID_MS * (math.log(2) - math.log1p(math.exp(-tr_ms / T1_OF_FLUID_MS)))


def is_t2w(facts: Physics) -> bool:
    """Long echo and long repetition."""
    return at_least(facts.te_ms, LONG_ECHO_MS) and at_least(facts.tr_ms, LONG_REPETITION_MS)


def is_flair(facts: Physics) -> bool:
    """T2 weighting after an inversion that nulls water; an inversion without its time is taken for one."""
    if not facts.inverted or not is_t2w(facts) or facts.tr_ms is None:
        return False
    return facts.ti_ms is None or in_range(facts.ti_ms / nulling_ms(facts.tr_ms), NULLING)


def is_uniform(facts: Physics) -> bool:
    """The uniform image of MP2RAGE: computed from both of its inversions, T1-weighted."""
    return "UNI" in facts.image_type[2:] and "GR" in facts.sequence and not at_least(facts.te_ms, 15)


def is_half_of_mp2rage(facts: Physics) -> bool:
    """One of the two inversions of MP2RAGE: not an image of its own."""
    gradient = "GR" in facts.sequence and not is_uniform(facts)
    return gradient and bool(facts.ti_ms) and at_least(facts.tr_ms, TWO_INVERSIONS_MS)


def is_t1w(facts: Physics) -> bool:
    """Short echo, and T1 weighting by inversion, by short repetition (spin echo), or by flip angle (gradient echo)."""
    if facts.te_ms is None or facts.tr_ms is None or facts.te_ms >= SHORT_ECHO_MS:
        return False
    if is_uniform(facts):
        return True
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
    ("mosaic", "is a mosaic: many slices in one picture; export the single slices", lambda f: "MOSAIC" in f.image_type),
    ("other", "is an echo-planar, diffusion, perfusion or angiographic image", is_special),
    ("other", "is a phase, fat or opposed-phase image or a computed map", is_part),
    (UNTOLD, "names no echo or repetition time, so its contrast cannot be told", lambda f: not f.te_ms or not f.tr_ms),
    ("other", "is one of the two inversions of MP2RAGE", is_half_of_mp2rage),
    (FLAIR, "inverts long enough to null water and has a long echo", is_flair),
    (T1W_POST, "is T1-weighted and was made after a contrast agent", lambda f: is_t1w(f) and f.contrast_agent),
    (T1W, "is T1-weighted", is_t1w),
    ("STIR", "inverts briefly, which nulls fat", lambda f: f.inverted and in_range(f.ti_ms, (1, T1_INVERSION_MS[0]))),
    (ODD_INVERSION, "has a long echo and inverts, but not when water is nulled", lambda f: f.inverted and is_t2w(f)),
    ("T2*w", "is a gradient echo with a long echo", lambda f: "GR" in f.sequence and at_least(f.te_ms, 15)),
    (T2W, "is T2-weighted", is_t2w),
    (
        "PDw",
        "is proton-density-weighted",
        lambda f: not at_least(f.te_ms, LONG_ECHO_MS) and at_least(f.tr_ms, LONG_REPETITION_MS),
    ),
)
