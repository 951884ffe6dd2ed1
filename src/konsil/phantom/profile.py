"""The scanners of the three hospitals: contrast, geometry, noise, and the tags that a vendor would write.

The sites follow the federation paper: A scans on Siemens, Philips and GE machines, B on a Siemens Skyra, C on a
Siemens Skyra Fit with more noise and with fewer, smaller lesions. Contrast is the signal of each tissue relative to
white matter in T1w; TR, TE and TI in ms are usual values of the named protocols (MPRAGE, TFE, BRAVO; SPACE, VISTA,
CUBE).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from konsil.errors import BadInput

TISSUES = ("wm", "gm", "csf", "lesion", "fat", "marrow", "bone", "muscle", "eye")
BRAIN_TISSUES, HEAD_TISSUES = TISSUES[:4], TISSUES[4:]

Tags = Mapping[str, str | float | int]


@dataclass(frozen=True)
class Sequence:
    """One pulse sequence: what it is called, how tissue looks, and how finely and cleanly it samples."""

    protocol: str
    tags: Tags  # ScanningSequence, SequenceVariant, RepetitionTime, EchoTime, InversionTime, FlipAngle
    contrast: Mapping[str, float]  # tissue -> signal, white matter in T1w = 1
    noise: float  # standard deviation in each of the two receiver channels, same unit as contrast
    scale: float  # stored value of a signal of 1
    voxel_mm: tuple[float, float, float]  # along i, j, k at resolution 1 mm


@dataclass(frozen=True)
class Profile:
    """One scanner with its two protocols."""

    name: str
    tags: Tags  # Manufacturer, ManufacturerModelName, MagneticFieldStrength, ...
    plane: Literal["sagittal", "axial"]
    tilt_deg: float  # of the slices about the left-right axis (oblique when not 0)
    bias: float  # strength of the receive field: standard deviation of its logarithm
    blur_mm: float  # full width at half maximum of the point spread at 1 mm
    t1w: Sequence
    flair: Sequence


@dataclass(frozen=True)
class Site:
    """One hospital: its scanners, and the lesions of the patients it sees."""

    name: str
    institution: str
    scanners: tuple[Profile, ...]
    lesion_count: float  # median over patients
    lesion_ml: float  # median total lesion volume of a patient


def contrast(*signals: float) -> Mapping[str, float]:
    """Signals in the order of `TISSUES`."""
    return MappingProxyType(dict(zip(TISSUES, signals, strict=True)))


def timing(scanning: str, variant: str, tr_ms: float, te_ms: float, ti_ms: float, flip_deg: float) -> Tags:
    """The DICOM attributes of a sequence that tell T1w from FLAIR (PS3.3 C.8.3.1)."""
    return MappingProxyType(
        {
            "ScanningSequence": scanning,
            "SequenceVariant": variant,
            "RepetitionTime": tr_ms,
            "EchoTime": te_ms,
            "InversionTime": ti_ms,
            "FlipAngle": flip_deg,
        }
    )


def scanner(manufacturer: str, model: str, field_t: float, software: str) -> Tags:
    """The DICOM attributes of a machine (PS3.3 C.7.5.1 and C.8.3.1)."""
    return MappingProxyType(
        {
            "Manufacturer": manufacturer,
            "ManufacturerModelName": model,
            "MagneticFieldStrength": field_t,
            "SoftwareVersions": software,
        }
    )


ISO = (1.0, 1.0, 1.0)

PRISMA = Profile(
    "siemens-prisma",
    scanner("SIEMENS", "Prisma", 3.0, "syngo MR E11"),
    plane="sagittal",
    tilt_deg=0.0,
    bias=0.09,
    blur_mm=0.75,
    t1w=Sequence(
        "t1_mprage_sag_p2_iso",
        timing("GR\\IR", "SK\\SP\\MP", 2300, 2.98, 900, 9),
        contrast(1, 0.70, 0.25, 0.62, 1.25, 0.75, 0.06, 0.55, 0.25),
        noise=0.020,
        scale=800,
        voxel_mm=ISO,
    ),
    flair=Sequence(
        "t2_space_dark-fluid_sag_p2_iso",
        timing("SE\\IR", "SK\\SP\\MP", 5000, 387, 1800, 120),
        contrast(0.58, 0.74, 0.12, 1.10, 0.85, 0.45, 0.05, 0.50, 0.15),
        noise=0.025,
        scale=600,
        voxel_mm=ISO,
    ),
)

ACHIEVA = Profile(
    "philips-achieva",
    scanner("Philips Medical Systems", "Achieva", 3.0, "5.3.1"),
    plane="sagittal",
    tilt_deg=7.0,
    bias=0.14,
    blur_mm=1.05,
    t1w=Sequence(
        "3D_T1_TFE_SAG",
        timing("GR", "MP", 8.1, 3.7, 1000, 8),
        contrast(1, 0.76, 0.30, 0.70, 1.10, 0.70, 0.06, 0.50, 0.30),
        noise=0.030,
        scale=1500,
        voxel_mm=ISO,
    ),
    flair=Sequence(
        "3D_FLAIR_VISTA",
        timing("SE\\IR", "SK", 4800, 340, 1650, 90),
        contrast(0.62, 0.72, 0.18, 1.02, 0.60, 0.40, 0.05, 0.45, 0.20),
        noise=0.033,
        scale=300,
        voxel_mm=(1.05, 1.0, 1.0),
    ),
)

SIGNA = Profile(
    "ge-signa",
    scanner("GE MEDICAL SYSTEMS", "SIGNA Architect", 1.5, "28\\LX\\MR Software release:RX28.0"),
    plane="axial",
    tilt_deg=0.0,
    bias=0.06,
    blur_mm=1.1,
    t1w=Sequence(
        "Ax T1 BRAVO",
        timing("GR\\IR", "SP\\MP", 7.9, 3.1, 450, 12),
        contrast(1, 0.66, 0.18, 0.55, 1.40, 0.80, 0.05, 0.60, 0.20),
        noise=0.035,
        scale=2400,
        voxel_mm=(0.9375, 0.9375, 1.0),
    ),
    flair=Sequence(
        "Ax T2 CUBE FLAIR",
        timing("SE\\IR", "SK\\OSP", 6300, 120, 1800, 90),
        contrast(0.50, 0.72, 0.08, 0.98, 1.00, 0.50, 0.05, 0.55, 0.10),
        noise=0.040,
        scale=1900,
        voxel_mm=(0.9375, 0.9375, 1.0),
    ),
)

SKYRA = Profile(
    "siemens-skyra",
    scanner("SIEMENS", "Skyra", 3.0, "syngo MR E11"),
    plane="sagittal",
    tilt_deg=0.0,
    bias=0.12,
    blur_mm=0.9,
    t1w=Sequence(
        "t1_mprage_sag_iso_we",
        timing("GR\\IR", "SK\\SP\\MP", 1900, 2.46, 900, 9),
        contrast(1, 0.74, 0.28, 0.68, 0.60, 0.40, 0.06, 0.55, 0.28),
        noise=0.028,
        scale=520,
        voxel_mm=ISO,
    ),
    flair=Sequence(
        "t2_spc_ir_sag_fs_iso",
        timing("SE\\IR", "SK\\SP", 4800, 388, 1650, 120),
        contrast(0.55, 0.71, 0.15, 1.04, 0.45, 0.30, 0.05, 0.48, 0.18),
        noise=0.032,
        scale=450,
        voxel_mm=ISO,
    ),
)

SKYRA_FIT = Profile(
    "siemens-skyra-fit",
    scanner("SIEMENS", "Skyra_fit", 3.0, "syngo MR XA20"),
    plane="axial",
    tilt_deg=-5.0,
    bias=0.16,
    blur_mm=1.2,
    t1w=Sequence(
        "t1_mprage_tra_p2",
        timing("GR\\IR", "SK\\SP\\MP", 2000, 2.26, 920, 8),
        contrast(1, 0.72, 0.26, 0.62, 1.15, 0.70, 0.05, 0.58, 0.24),
        noise=0.050,
        scale=300,
        voxel_mm=(1.0, 1.0, 1.05),
    ),
    flair=Sequence(
        "t2_space_flair_tra",
        timing("SE\\IR", "SK\\SP\\MP", 6000, 332, 1900, 120),
        contrast(0.53, 0.70, 0.10, 0.92, 0.80, 0.42, 0.05, 0.50, 0.12),
        noise=0.055,
        scale=260,
        voxel_mm=ISO,
    ),
)

SITES: Mapping[str, Site] = MappingProxyType(
    {
        "A": Site("A", "Klinikum am Nordtor", (PRISMA, ACHIEVA, SIGNA), lesion_count=30, lesion_ml=16.0),
        "B": Site("B", "Ospedale San Fidenzio", (SKYRA,), lesion_count=28, lesion_ml=15.0),
        "C": Site("C", "Hôpital de la Combe", (SKYRA_FIT,), lesion_count=18, lesion_ml=6.5),
    }
)


def site_named(name: str) -> Site:
    """The hospital of that name; an unknown name is refused with the list of those there are."""
    if name not in SITES:
        raise BadInput("this site is not known to the phantom", expected=f"one of {', '.join(SITES)}", got=repr(name))
    return SITES[name]
