"""What a reviewer wants to know of a case in a few lines: grids, lesion load, how the head moved between the scans."""

from __future__ import annotations

import numpy as np

from konsil.cohort.volume import Volume
from konsil.quality.panels import CaseImages
from konsil.types import Json


def number_text(value: float) -> str:
    """Three digits without powers of ten: `0.0123`, `4.56`, `1770`."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def case_facts(images: CaseImages, movement: Json) -> list[tuple[str, str]]:
    """Pairs of name and text, in the order in which they are shown."""
    facts = []
    for name, volume in (("T1w", images.t1w), ("FLAIR", images.flair)):
        facts.append((f"{name} grid", "not there" if volume is None else grid_text(volume)))
    facts.append(("Lesions", lesion_text(images.lesions)))
    facts.append(("T1w to FLAIR", movement_text(movement)))
    return facts


def grid_text(volume: Volume) -> str:
    """`256 x 256 x 48 voxels of 0.91 x 0.91 x 3.00 mm`."""
    shape = " x ".join(str(size) for size in volume.data.shape)
    spacing = " x ".join(f"{size:.2f}" for size in volume.spacing_mm)
    return f"{shape} voxels of {spacing} mm"


def lesion_text(lesions: Volume | None) -> str:
    """Number of connected lesions and their volume."""
    if lesions is None:
        return "none drawn"
    number, volume = count_lesions(lesions)
    return f"{number}, together {volume:.1f} mL"


def count_lesions(lesions: Volume) -> tuple[int, float]:
    """Number of lesions (voxels that touch by face, edge or corner belong together) and their volume in mL."""
    from scipy import ndimage

    mask = lesions.data > 0
    _, number = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    return int(number), float(mask.sum() * lesions.voxel_ml)


def movement_text(movement: Json) -> str:
    """How far the head moved and how well the images agree."""
    if "rotation_deg" not in movement:
        return "not registered"
    return (
        f"moved {movement['translation_mm']:.1f} mm, turned {movement['rotation_deg']:.1f} degrees; "
        f"mutual information {movement['mutual_information_before_nats']:.2f} before, "
        f"{movement['mutual_information_after_nats']:.2f} after; brains overlap by {movement['brain_overlap_dice']:.2f}"
    )
