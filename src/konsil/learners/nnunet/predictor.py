"""nnU-Net's predictor without the thread that hands it the patches.

Where that thread finds the GPU full it dies with its error, and nnU-Net (2.8.1) waits for its next patch for ever. Here
the patches are cut where they are used; what is added up, and in which order, stays the same.
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from typing import Any

import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.inference.sliding_window_prediction import compute_gaussian
from nnunetv2.utilities.helpers import empty_cache

SIGMA_SCALE, SCALE = 1.0 / 8, 10
"""Of the Gaussian weights: nnU-Net's."""


class Predictor(nnUNetPredictor):  # type: ignore[misc]
    """One network over one image, patch by patch."""

    @torch.inference_mode()
    def _internal_predict_sliding_window_return_logits(
        self, data: torch.Tensor, slicers: Sequence[tuple[Any, ...]], do_on_device: bool = True
    ) -> torch.Tensor:
        """Logits of shape (classes, z, y, x), half, of `data` (channels, z, y, x); on the CPU unless `do_on_device`.

        Raises RuntimeError where there is no room, holding nothing: nnU-Net then tries again with the sums on the CPU.
        """
        try:
            empty_cache(self.device)
            return self._summed(data, slicers, self.device if do_on_device else torch.device("cpu"))
        except RuntimeError as error:
            traceback.clear_frames(error.__traceback__)
            empty_cache(self.device)
            raise

    def _summed(self, data: torch.Tensor, slicers: Sequence[tuple[Any, ...]], place: torch.device) -> torch.Tensor:
        """The weighted mean of the patches' logits, added up in `place`."""
        data = data.to(place)
        heads, size = self.label_manager.num_segmentation_heads, tuple(self.configuration_manager.patch_size)
        logits = torch.zeros((heads, *data.shape[1:]), dtype=torch.half, device=place)
        weights = torch.zeros(data.shape[1:], dtype=torch.half, device=place)
        gaussian = compute_gaussian(size, sigma_scale=SIGMA_SCALE, value_scaling_factor=SCALE, device=place)
        for where in slicers:
            patch = torch.clone(data[where][None], memory_format=torch.contiguous_format).to(self.device)
            found = self._internal_maybe_mirror_and_predict(patch)[0].to(place)
            found *= gaussian
            logits[where] += found
            weights[where[1:]] += gaussian
        torch.div(logits, weights, out=logits)
        if torch.any(torch.isinf(logits)):
            raise RuntimeError("the logits are infinite")  # as nnU-Net: too large for half precision
        return logits
