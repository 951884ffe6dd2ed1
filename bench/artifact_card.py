"""Writes the card of the artifact score from the figures of its training: docs/models/artifact-score.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from konsil.files import write_bytes

HEAD = """# Artifact score

*Written by `bench/train_artifacts.py`; the numbers are those of its last run.*

**What it is.** Two small logistic models, one for T1w and one for FLAIR, that read measures of one image and give
the probability that it holds an artifact which a person can see. The numbers lie in
[`artifact_score.json`](../../src/konsil/quality/artifact_score.json) ({features} features, {weights} weights each);
inference is `konsil.quality.artifact_score.artifact_probability`, numpy only.

**What it is for.** To point a reviewer at images worth a second look, and to sort a cohort. It sets nobody aside.
Research use only, not a medical device.

**Data.** {patients} synthetic patients of the sites A, B and C (five scanners), {images} images: each patient clean
and with planted motion, ghosting, spike, aliasing, noise, blur, bias and metal-like void at severities from 0.1 to
2.5, by Konsil's own phantoms and by TorchIO (motion, ghosting, spike, bias, blur, noise). Severity 1 is what
`docs/phantom.md` says; an artifact counts as such from a severity on at which the eye finds it ({visible}).
Artifacts are planted before the receiver's noise. Finer images are averaged to about 2 mm before they are measured;
images of 1 mm were tried {fine}. The atlas was laid on the clean image and its placement used for all versions.

**What the probability means.** It is calibrated (Platt, on patients the model had not seen) for images of which
*half* hold an artifact. Where one in ten does, divide the odds by nine: 0.9 becomes 0.5.

**Limits.** Trained on phantoms alone. Real heads, coils and reconstructions differ: a smoothed, interpolated,
skull-stripped or defaced image, or one with parallel-imaging noise, is unlike every clean image it has seen, and
may score high without an artifact or low with one. Mild motion inside the brain that leaves no trace in the air is
missed. Weights are 0 or more: a trace can only raise the probability. How far measures like these agree with
people: [quality.md](../quality.md#agreement-with-people).
"""


def write_card(path: Path, model: dict[str, Any], figures: dict[str, Any], public: dict[str, float | None]) -> None:
    """Write the card as Markdown."""
    first, training = model["models"]["T1w"], model["training"]
    text = HEAD.format(
        features=len(first["features"]),
        weights=len(first["weights"]),
        patients=training["patients"],
        images=training["images"],
        fine=f"with {training['fine']} patients" if training["fine"] else "in no training yet",
        visible=training["visible_from"],
    )
    parts = [text, summary(figures), reliability(figures), sensitivity(figures), curve(figures), real(public)]
    write_bytes(path, "\n".join(parts).encode())


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def share(pair: list[int]) -> str:
    """`0.93 (14 of 15)`."""
    return "–" if not pair[1] else f"{pair[0] / pair[1]:.2f} ({pair[0]} of {pair[1]})"


def summary(figures: dict[str, Any]) -> str:
    """How well clean and spoiled images are told apart."""
    rows = []
    for suffix, found in figures.items():
        low, high = found["auc_95"]
        sites = ", ".join(f"{site} {value:.3f}" for site, value in found["auc_without_site"].items())
        counts = f"{found['clean']} / {found['spoiled']}"
        rows.append([suffix, counts, f"{found['auc']:.3f} ({low:.3f} to {high:.3f})", sites, f"{found['brier']:.3f}"])
    head = ["image", "clean / spoiled", "AUC (95 %)", "AUC at a site left out", "Brier score"]
    return "## Figures\n\nFrom patients the model was not fitted on (five folds).\n\n" + table(head, rows)


def reliability(figures: dict[str, Any]) -> str:
    """Whether the probabilities are what they say."""
    rows = [
        [suffix, str(line["images"]), f"{line['said']:.2f}", f"{line['true']:.2f}"]
        for suffix, found in figures.items()
        for line in found["reliability"]
    ]
    return "Said and true share of artifacts, both classes weighing the same:\n\n" + table(
        ["image", "images", "said", "true"], rows
    )


def sensitivity(figures: dict[str, Any]) -> str:
    """What is found of each artifact."""
    faults = sorted(figures["T1w"]["sensitivity"])
    rows = [[fault, *(share(found["sensitivity"][fault]) for found in figures.values())] for fault in faults]
    limits = ", ".join(f"{suffix} above {found['limit']:.2f}" for suffix, found in figures.items())
    head = f"Found at a specificity of 0.95 ({limits}), from the severity on at which the eye finds it:\n\n"
    return head + table(["artifact", *figures], rows)


def curve(figures: dict[str, Any]) -> str:
    """From which severity on artifacts are found."""
    steps = list(figures["T1w"]["curve"])
    rows = [[step, *(share(found["curve"][step]) for found in figures.values())] for step in steps]
    return "All artifacts together, by severity, at the same limits:\n\n" + table(["severity", *figures], rows)


def real(public: dict[str, float | None]) -> str:
    """What it says of a few public images that nobody spoiled."""
    rows = [[f"`{name}`", "–" if value is None else f"{value:.2f}"] for name, value in public.items()]
    head = (
        "Public images that nobody spoiled (the least spreads of the features were set with the first three in view):"
    )
    return f"{head}\n\n" + table(["image", "probability"], rows) if rows else ""
