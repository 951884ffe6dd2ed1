"""How an MR image was made, read from its header.

The numbers that decide about the contrast of an image are standard attributes of the MR Image Module (DICOM PS3.3
C.8.3.1): the family of the sequence (SE spin echo, GR gradient echo, IR inversion recovery, EP echo planar),
repetition, echo and inversion time in ms. Enhanced multi-frame images (C.8.13) keep the same facts in functional
groups. A value that is absent or not a number is None: nothing is guessed. Words that are repeated to people are
defined terms only, because a name may stand in their place.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset

from konsil.dicom.vocabulary import coded

REFORMATTED = frozenset({"MPR", "REFORMATTED", "PROJECTION IMAGE", "SUBTRACTION", "RESAMPLED"})


@dataclass(frozen=True)
class Physics:
    """The facts of one series. Times in ms, flip angle in degrees; None = the header does not say."""

    sequence: frozenset[str]
    variant: frozenset[str]
    options: frozenset[str]
    image_type: tuple[str, ...]
    acquisition: str
    tr_ms: float | None
    te_ms: float | None
    ti_ms: float | None
    flip_deg: float | None
    contrast_agent: bool
    angiography: bool
    diffusion: bool
    weighting: str
    """What an enhanced image says it shows (AcquisitionContrast, C.8.13.3.1.1.8), upper case; believed only for what
    is no anatomical image: vendors fill it by habit."""
    magnetisation_transfer: bool
    corrections: tuple[int, int]
    """Distortion correction (0 none, 1 in the slice, 2 in space) and evening out of the coil's sensitivity (0 or 1)."""
    processed: str
    """Why the image is not as the scanner made it; empty if it is."""

    @property
    def inverted(self) -> bool:
        """An inversion pulse came before the excitation."""
        return "IR" in self.sequence | self.options or bool(self.ti_ms)

    def sentence(self) -> str:
        """The facts as people write them: `SE IR, TR 10000, TE 90, TI 2600 ms, 2D`."""
        family = " ".join(sorted(self.sequence, key=["SE", "GR", "IR", "EP", "RM"].index)) or "sequence not named"
        times = {"TR": self.tr_ms, "TE": self.te_ms, "TI": self.ti_ms}
        known = ", ".join(f"{name} {value:g}" for name, value in times.items() if value)
        return ", ".join(part for part in (family, f"{known} ms" if known else "no times", self.acquisition) if part)


def physics_of(header: Dataset) -> Physics:
    """Read the facts of an image from its header; a missing or broken value becomes None or empty."""
    return Physics(
        sequence=frozenset(words(header, "ScanningSequence")) & {"SE", "GR", "IR", "EP", "RM"} or pulse_family(header),
        variant=frozenset(coded(words(header, "SequenceVariant"))),
        options=frozenset(words(header, "ScanOptions")),
        image_type=words(header, "ImageType"),
        acquisition=" ".join(words(header, "MRAcquisitionType"))[:2],
        tr_ms=number(header, "RepetitionTime"),
        te_ms=number(header, "EchoTime", "EffectiveEchoTime"),
        ti_ms=number(header, "InversionTime", "InversionTimes"),
        flip_deg=number(header, "FlipAngle"),
        contrast_agent=has_contrast_agent(header),
        angiography=words(header, "AngioFlag") == ("Y",) or "TOF" in words(header, "SequenceVariant"),
        diffusion=bool(number(header, "DiffusionBValue")),
        weighting=" ".join(coded(words(header, "AcquisitionContrast"))),
        magnetisation_transfer="MTC" in words(header, "SequenceVariant") or "MT" in words(header, "ScanOptions"),
        corrections=corrections(header),
        processed=processing(header),
    )


def corrections(header: Dataset) -> tuple[int, int]:
    """What the scanner corrected, from words that Siemens and others add to the image type."""
    kind = set(words(header, "ImageType"))
    distortion = 2 if "DIS3D" in kind else 1 if "DIS2D" in kind else 0
    return distortion, int("NORM" in kind)


def processing(header: Dataset) -> str:
    """Why an image is not as the scanner made it (PS3.3 C.7.6.1.1.2), or an empty string.

    Workstations often copy ORIGINAL\\PRIMARY from the image they started with; a scanner, though, always notes when
    and with which matrix it acquired, and workstations rarely keep both.
    """
    kind = words(header, "ImageType")
    if kind[:1] == ("DERIVED",) or kind[1:2] == ("SECONDARY",):
        return f"its image type is {' '.join(coded(kind[:2], placeholder='OTHER'))}"
    for term in sorted(REFORMATTED & set(kind[2:])):
        return f"its image type says {term}"
    if header.get("SourceImageSequence") or header.get("DerivationCodeSequence"):
        return "it names other images as its source"
    timed = any(header.get(name) for name in ("AcquisitionTime", "AcquisitionDateTime"))
    matrix = header.get("AcquisitionMatrix") or [0]
    if not timed and not any(matrix) and "SharedFunctionalGroupsSequence" not in header:
        return "it has neither acquisition time nor acquisition matrix, so a workstation wrote it"
    return ""


def has_contrast_agent(header: Dataset) -> bool:
    """The header names an agent or an amount of it (PS3.3 C.7.6.4)."""
    agent = str(header.get("ContrastBolusAgent") or "").strip().upper()
    if agent and agent not in ("NONE", "NO", "N", "UNKNOWN"):
        return True
    if header.get("ContrastBolusAgentSequence"):
        return True
    return any(number(header, name) for name in ("ContrastBolusVolume", "ContrastBolusTotalDose"))


def pulse_family(header: Dataset) -> frozenset[str]:
    """SE, GR and IR of an enhanced image, from its echo pulse and its modifiers."""
    pulse = "".join(words(header, "EchoPulseSequence"))
    family = {"SPIN": {"SE"}, "GRADIENT": {"GR"}, "BOTH": {"SE", "GR"}}.get(pulse, set())
    return frozenset(family | ({"IR"} if number(header, "InversionTime", "InversionTimes") else set()))


def words(header: Dataset, keyword: str) -> tuple[str, ...]:
    """The values of a coded attribute in upper case; empty if there are none."""
    value = header.get(keyword)
    if value is None:
        return ()
    values = [value] if isinstance(value, str) else list(value)
    return tuple(str(one).strip().upper() for one in values if str(one).strip())


def number(header: Dataset, *keywords: str) -> float | None:
    """The first finite number under one of the keywords, at the top level or in the first functional groups."""
    for dataset in (header, *functional_groups(header)):
        for keyword in keywords:
            value = first_number(dataset, keyword)
            if value is not None:
                return value
    return None


def first_number(dataset: Dataset, keyword: str) -> float | None:
    """The (first) value of an attribute as a finite number, or None."""
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # pydicom warns about values that break a rule of their VR; they count as absent
        try:
            value: Any = dataset.get(keyword)
            value = value[0] if value is not None and not isinstance(value, (str, int, float)) else value
            result = float(value)
        except (TypeError, ValueError, IndexError, OverflowError):
            return None
    return result if math.isfinite(result) else None


def functional_groups(header: Dataset) -> Iterator[Dataset]:
    """The macro items of an enhanced image that hold for its first frame: shared ones, then the frame's own."""
    for name in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in (header.get(name) or [])[:1]:
            for element in group:
                if element.VR == "SQ":
                    yield from element.value
