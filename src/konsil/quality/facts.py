"""What a reviewer wants to know of a case in a few lines: grids, lesion load, how the head moved between the scans."""

from __future__ import annotations

from konsil.cohort.volume import Volume
from konsil.quality.lesions import count_lesions, lesion_ml
from konsil.quality.panels import CaseImages
from konsil.types import Json


def number_text(value: float) -> str:
    """Three digits without powers of ten: `0.0123`, `4.56`, `1770`."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value + 0.0:.3g}"  # + 0.0: never "-0"


def case_facts(images: CaseImages, movement: Json, scanner: Json) -> list[tuple[str, str]]:
    """Pairs of name and text, in the order in which they are shown; `scanner` has a line by image."""
    facts = []
    for name, volume in (("T1w", images.t1w), ("FLAIR", images.flair)):
        parts = ["not there"] if volume is None else [grid_text(volume), *filter(None, [scanner.get(name)])]
        facts.append((name, "; ".join(parts)))
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
    number, volume = count_lesions(lesions.data, lesions.voxel_ml), lesion_ml(lesions.data, lesions.voxel_ml)
    return f"{number}, together {volume:.1f} mL"


def movement_text(movement: Json) -> str:
    """How far the head moved and how well the images agree."""
    if "rotation_deg" not in movement:
        return "not registered"
    return (
        f"moved {movement['translation_mm']:.1f} mm, turned {movement['rotation_deg']:.1f} degrees; "
        f"mutual information {movement['mutual_information_before_nats']:.2f} before, "
        f"{movement['mutual_information_after_nats']:.2f} after; brains overlap by {movement['brain_overlap_dice']:.2f}"
    )
