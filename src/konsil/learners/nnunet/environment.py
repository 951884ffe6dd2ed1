"""nnU-Net's world of environment variables and prints, kept inside a `with`.

nnU-Net reads its folders from the environment whenever it needs them (2.8: `nnunetv2.paths._EnvPath`) and speaks on
stdout. Inside `at(home)` the variables point into the site's own folder, whatever the hospital has set, and prints
become log lines of level DEBUG; afterwards everything is as before. The environment belongs to the whole process, as
do the random numbers that nnU-Net draws, so only one thread at a time is inside.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

log = logging.getLogger(__name__)
ALONE = threading.RLock()
TRAINERS = Path(__file__).parent / "trainers"
DEFAULT_AUGMENTATION_WORKERS = 12  # nnunetv2.utilities.default_n_proc_DA for an unknown host


def variables(home: Path) -> dict[str, str]:
    """What nnU-Net finds in the environment while it works for the site at `home`."""
    return {
        "nnUNet_raw": str(home / "nnUNet_raw"),
        "nnUNet_preprocessed": str(home / "nnUNet_preprocessed"),
        "nnUNet_results": str(home / "nnUNet_results"),
        "nnUNet_extTrainer": str(TRAINERS),
        "nnUNet_n_proc_DA": "1",  # the planner needs at least one worker
        "nnUNet_compile": "False",  # only training compiles: device.py
        "nnUNet_wandb_enabled": "0",  # nothing but the federation's messages leaves the site
    }


@contextlib.contextmanager
def at(home: Path, also: Mapping[str, str] | None = None) -> Iterator[None]:
    """Let nnU-Net live in `home`, with further variables or other values in `also`."""
    ours = {**variables(home.resolve()), **(also or {})}
    with ALONE:
        before = {name: os.environ.get(name) for name in ours}
        os.environ.update(ours)
        try:
            with contextlib.redirect_stdout(Lines()):
                yield
        finally:
            restore(before)


def restore(before: dict[str, str | None]) -> None:
    """Give every variable its former value, or none."""
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


class Lines(io.TextIOBase):
    """A stdout whose lines go to the log."""

    def write(self, text: str) -> int:
        """Log every line that is not empty."""
        for line in text.splitlines():
            if line.strip():
                log.debug("%s", line)
        return len(text)
