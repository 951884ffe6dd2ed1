"""A table of prepared images, for `konsil adopt`.

Tab-separated text with a heading. `subject` is required, and so is at least one channel: every column that is not
`subject`, `session`, `split` or `label` is one. Paths are relative to the table; an empty label means nobody drew one.

    subject   T1w            FLAIR            label            split
    P18       P18/T1.nii.gz  P18/FLAIR.nii.gz P18/MASK.nii.gz  train
"""

from __future__ import annotations

import csv
from pathlib import Path

from konsil.cohort.adopt import Pair
from konsil.errors import BadInput, Missing

SPECIAL = ("subject", "session", "split", "label")


def read_pairs(table: Path) -> tuple[list[str], list[Pair]]:
    """Channels (in the order of the columns) and pairs of a table; raises `BadInput` naming the line that is wrong."""
    if not table.is_file():
        raise Missing("the table of images is not there", expected=f"a file {table}")
    try:
        with table.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream, delimiter="\t", strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInput(
            "the table cannot be read", expected="tab-separated text in UTF-8", got=type(error).__name__
        ) from error
    if not rows or "subject" not in rows[0]:
        raise BadInput("the table has no cases", expected="a heading with `subject` and one line per case")
    channels = [name for name in rows[0] if name not in SPECIAL and name is not None]
    if not channels:
        raise BadInput("the table has no channel", expected="a column per channel, e.g. T1w and FLAIR")
    return channels, [pair_of(row, channels, table.parent, line) for line, row in enumerate(rows, start=2)]


def pair_of(row: dict[str, str | None], channels: list[str], base: Path, line: int) -> Pair:
    """One line of the table."""
    if None in row or any(not row.get(name) for name in ("subject", *channels)):
        raise BadInput(f"line {line} of the table is not whole", expected="a value in subject and in every channel")
    label = row.get("label")
    return Pair(
        subject=str(row["subject"]),
        session=row.get("session") or "01",
        images={channel: base / str(row[channel]) for channel in channels},
        label=base / label if label else None,
        split=row.get("split") or None,
    )
