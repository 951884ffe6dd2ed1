"""What dcm2niix says while it converts.

It prints a line for everything that it finds odd, and ends with 0 all the same. Most lines are about what
de-identification took out (protocol names, private tags) or about purposes that do not concern us (slice times,
diffusion): those are left out. A few mean that pixels are lost: those are a refusal. The rest is kept for the sidecar,
or says why a series was refused. Paths and quoted values of headers are cut out of every line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

IRRELEVANT = (
    *("protocol data block", "siemens csa", "csa header", "not been anonymized", "protocol name", "patient position"),
    *("slice tim", "unable to determine manufacturer", "b-value", "bvec", "dti", "diffusion", "bids `_dir`"),
    *("16-bit unsigned", "gantry tilt correction is new", "is not the latest release"),
)
LOST = (
    *("unable to decode", "unable to decompress", "missing packets", "unsupported transfer syntax"),
    *("image size is zero", "unsupported compression", "unsupported dicom bit-depth", "slices not stacked: dimensions"),
)
LONGEST_LINE = 200


@dataclass(frozen=True)
class Complaints:
    """The lines worth keeping, without paths and quoted values, each once, sorted; `lost`: pixels are missing."""

    notes: tuple[str, ...]
    lost: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The first three of them for a refusal; empty if there are none."""
        first = "; ".join((self.lost + self.notes)[:3])
        return f"dcm2niix says: {first}" if first else ""


def complaints(output: str, *paths: str) -> Complaints:
    """Sort the lines of dcm2niix's `output` (stdout and stderr); `paths` are folders that it may have printed."""
    notes, lost = set(), set()
    for line in output.splitlines():
        words = line.lower()
        if not words.startswith(("warning", "error", "unsupported", "unable")) and "gantry tilt" not in words:
            continue
        if any(phrase in words for phrase in LOST):
            lost.add(plain(line, paths))
        elif not any(phrase in words for phrase in IRRELEVANT):
            notes.add(plain(line, paths))
    return Complaints(tuple(sorted(notes)), tuple(sorted(lost)))


def plain(line: str, paths: tuple[str, ...]) -> str:
    """One line without its label, paths and quoted values."""
    for path in paths:
        line = re.sub(re.escape(path) + r"\S*", "", line)
    line = re.sub(r"'[^']*'", "…", line)
    line = re.sub(r"^(Warning|Error):\s*", "", line)
    return " ".join(line.split())[:LONGEST_LINE]
