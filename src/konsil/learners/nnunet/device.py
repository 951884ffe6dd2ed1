"""What a training runs on, set up as `nnUNetv2_train` sets it up.

On a CUDA card nnU-Net trains in mixed precision (fp16 with a gradient scaler), lets cuDNN try its algorithms, has torch
compile the network and augments in worker processes; on a CPU it does none of these. Compiling needs a C compiler and
Python's headers; where they lack, training goes on without, slower, and the log says so.

A seed gives the same weights again on a CPU. A card needs `deterministic` for it: no workers (they hand in batches in
the order in which they happen to be ready) and no algorithm whose sums depend on the order of threads. docs/learners.md
says what that costs.
"""

from __future__ import annotations

import functools
import logging
import shutil
import sysconfig
from pathlib import Path

import torch

from konsil.errors import BadSetting
from konsil.learners.nnunet.environment import DEFAULT_AUGMENTATION_WORKERS
from konsil.learners.nnunet.settings import NnUNetSettings

log = logging.getLogger(__name__)


def chosen(choice: str) -> torch.device:
    """The device a setting means: "auto" is a GPU where there is one. BadSetting if there is none where one must be."""
    there = torch.cuda.is_available()
    if choice == "cuda" and not there:
        raise BadSetting(
            "the charter asks for a GPU and torch finds none here",
            expected="a CUDA card that torch can use",
            hint="Look at nvidia-smi and at torch.version.cuda, or let the charter's device be auto",
        )
    return torch.device("cuda" if choice != "cpu" and there else "cpu")


def set_up(device: torch.device, settings: NnUNetSettings) -> None:
    """Tell torch how to compute in this process: threads, cuDNN's search, and determinism."""
    torch.set_num_threads(settings.threads if device.type == "cpu" else 1)  # on a GPU as nnUNetv2_train: one
    torch.backends.cudnn.benchmark = device.type == "cuda" and not settings.deterministic
    torch.backends.cudnn.deterministic = settings.deterministic
    # Warnings only: of what nnU-Net uses on a card, the value of the cross entropy is summed in any order. It is shown
    # and never used: gradients do not depend on it.
    torch.use_deterministic_algorithms(settings.deterministic, warn_only=True)


def variables(settings: NnUNetSettings, home: Path) -> dict[str, str]:
    """What training needs in the environment beside nnU-Net's folders.

    What torch compiles is kept in the site's own folder: a cold start finds it again, and nobody else can put code
    there, as in the folder below /tmp that torch would take.
    """
    compiled = compiles(settings)
    found = {"nnUNet_n_proc_DA": str(workers(settings)), "nnUNet_compile": str(compiled)}
    if compiled:
        found |= {"TORCHINDUCTOR_CACHE_DIR": str(home / "compiled"), "TORCHINDUCTOR_COMPILE_THREADS": "1"}
    if settings.deterministic:
        found["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    return found


def workers(settings: NnUNetSettings) -> int:
    """Processes that augment: what the charter says, else nnU-Net's number on a GPU and none on a CPU."""
    if settings.augmentation_workers is not None:
        return settings.augmentation_workers
    on_gpu = chosen(settings.device).type == "cuda"
    return DEFAULT_AUGMENTATION_WORKERS if on_gpu and not settings.deterministic else 0


def compiles(settings: NnUNetSettings) -> bool:
    """Whether the network is compiled here."""
    return settings.compiled and chosen(settings.device).type == "cuda" and tools_are_there()


@functools.cache
def tools_are_there() -> bool:
    """Whether torch finds what it compiles with; says so once if not."""
    headers = Path(sysconfig.get_path("include")) / "Python.h"
    lacking = [
        name
        for name, found in (
            ("a C compiler", any(shutil.which(compiler) for compiler in ("cc", "gcc", "clang"))),
            ("Python's header files", headers.is_file()),
        )
        if not found
    ]
    if lacking:
        log.warning("the network is not compiled, so training is slower: this machine lacks %s", " and ".join(lacking))
    return not lacking
