"""Brain masks by HD-BET, for sites with a GPU (Isensee et al., Human Brain Mapping 2019).

An optional extra: `pip install 'konsil[hd-bet]'`. HD-BET is a trained nnU-Net whose weights it would fetch from the
internet at its first start. A hospital is offline, so nothing is fetched here: the site unpacks the published archive
(zenodo.org/records/14445620) itself into `~/hd-bet_params/release_2.0.0`, and without it the step refuses. Weights are
a file that PyTorch unpickles: compare its checksum with the published one before putting it there.

Written against the source of HD-BET 2.0.1; tested here up to the refusals, not with its weights.
"""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path

import numpy as np

from konsil.cohort.volume import Volume, read_volume, write_volume
from konsil.errors import Missing, Unavailable

WEIGHTS = Path("fold_all") / "checkpoint_final.pth"  # inside the folder that HD-BET looks into


def require() -> None:
    """Raise `Missing` unless HD-BET, a GPU and the weights are there, with what to do in words."""
    if importlib.util.find_spec("HD_BET") is None:
        raise Missing(
            "HD-BET is not installed",
            hint="Install it with: pip install 'konsil[hd-bet]', or leave out --brain-masks to use the atlas",
        )
    import torch
    from HD_BET.paths import folder_with_parameter_files

    if not (Path(folder_with_parameter_files) / WEIGHTS).is_file():
        raise Missing(
            "the weights of HD-BET are not there",
            expected="the archive of zenodo.org/records/14445620 unpacked in ~/hd-bet_params/release_2.0.0",
            hint="Konsil fetches nothing from the internet; a person of the site puts them there",
        )
    if not torch.cuda.is_available():
        raise Missing("HD-BET needs a GPU and there is none", hint="Leave out --brain-masks to use the atlas")


def draw(image: Volume) -> Volume:
    """The brain mask of an oriented image on its grid: uint8, 1 = brain. Call `require` first.

    Raises `Unavailable` if the network stopped (mostly: the GPU's memory is full).
    """
    import torch
    from HD_BET.hd_bet_prediction import get_hdbet_predictor, hdbet_predict

    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "image.nii.gz", Path(folder) / "brain.nii.gz"
        write_volume(source, image)
        try:
            predictor = get_hdbet_predictor(use_tta=False, device=torch.device("cuda"))
            hdbet_predict(
                str(source), str(target), predictor, keep_brain_mask=True, compute_brain_extracted_image=False
            )
        except RuntimeError as error:
            raise Unavailable("HD-BET stopped", hint="Look at the GPU's memory, or use the atlas") from error
        found = read_volume(Path(folder) / "brain_bet.nii.gz", "the mask that HD-BET drew")
    return Volume((found.data > 0).astype(np.uint8), image.affine)
