"""Segmenting images with a trained network: nnU-Net's sliding window, Gaussian weights, flips if trained with them.

nnU-Net resamples the images to the plan's voxel size, predicts overlapping patches, and resamples the result back, so a
mask lies on the grid of its images. A model folder holds safetensors and JSON for us and nnU-Net's own layout for
others (model_folder.py); only the former is read here, never a pickled checkpoint.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK
import torch
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch import nn

from konsil.errors import BadInput
from konsil.evaluation.metrics import CaseMetrics, measure
from konsil.files import replacing
from konsil.learners.nnunet import device, environment, gpu_memory, model_folder
from konsil.learners.nnunet.predictor import Predictor
from konsil.learners.nnunet.recipe import configuration_of, flipped_axes, plans_for_prediction, settings_of
from konsil.types import Json

GRID_TOLERANCE = 1e-3  # mm, and direction cosines: rounding in a header, not a part of a voxel
Mask = npt.NDArray[np.uint8]


class Segmenter:
    """A trained network ready to segment. `channels` in input order, `labels` by name, `sha256` of the weights."""

    def __init__(self, recipe: Json, trained: nn.Module, sha256: str = "") -> None:
        self.recipe, self.sha256 = recipe, sha256
        self.channels: list[str] = list(recipe["dataset"]["channel_names"].values())
        self.labels: dict[str, int] = recipe["dataset"]["labels"]
        self._predictor = predictor(recipe, trained)

    def segment(self, images: Mapping[str, Path]) -> tuple[Mask, Json]:
        """Label map of shape (z, y, x), and nnU-Net's properties of the grid ("spacing" in mm, z first).

        Raises BadInput if a channel is missing, cannot be read, or lies on another grid than the first, and Exhausted
        if the GPU is full; the network has left it then.
        """
        files = [images[channel] for channel in self.channels if channel in images]
        if len(files) < len(self.channels):
            raise BadInput("a channel is missing", expected=", ".join(self.channels), got=", ".join(images))
        check_grids(files, self.channels)
        with environment.at(Path(tempfile.gettempdir())):
            voxels, properties = SimpleITKIO().read_images([str(file) for file in files])
            if not np.isfinite(voxels).all():
                raise BadInput("an image holds numbers that are not finite")
            with gpu_memory.enough("the images were not segmented", self.leave_the_card):
                mask = self._predictor.predict_single_npy_array(voxels, dict(properties))
        return np.asarray(mask, dtype=np.uint8), properties

    def leave_the_card(self) -> None:
        """Take the network off the GPU, until the next image."""
        with torch.inference_mode():  # as nnU-Net, which puts it there
            self._predictor.network.to("cpu")
        gpu_memory.give_back()

    def write(self, target: Path, mask: Mask, properties: Json) -> None:
        """Write a mask on the grid of its images, whole or not at all."""
        with replacing(target) as part:
            SimpleITKIO().write_seg(mask, str(part), properties)

    def judge(self, name: str, images: Mapping[str, Path], label: Path) -> CaseMetrics:
        """Segment a case and compare with its drawn label map, on the images' own grid."""
        mask, properties = self.segment(images)
        return measure(name, mask, read_label(label), self.labels, voxel_mm3(properties))


def predict(model: Path, images: Sequence[Mapping[str, Path]], out: Sequence[Path]) -> None:
    """Segment each case of `images` with the model in the folder `model` and write its mask (NIfTI, uint8) to `out`."""
    if len(images) != len(out):
        raise BadInput("cases and masks do not pair up", expected=f"{len(images)} masks", got=str(len(out)))
    segmenter = open_model(model)
    for case, target in zip(images, out, strict=True):
        mask, properties = segmenter.segment(case)
        segmenter.write(target, mask, properties)


def open_model(folder: Path) -> Segmenter:
    """Read a model folder that `save` wrote."""
    recipe, trained, sha256 = model_folder.read(folder)
    return Segmenter(recipe, trained, sha256)


def voxel_mm3(properties: Json) -> float:
    """Volume of one voxel, in mm³."""
    return math.prod(float(mm) for mm in properties["spacing"])


def read_label(file: Path) -> Mask:
    """A label map as nnU-Net reads it: shape (z, y, x)."""
    label, _ = SimpleITKIO().read_seg(str(file))
    return np.asarray(np.rint(label[0]), dtype=np.uint8)


def predictor(recipe: Json, trained: nn.Module) -> Any:
    """nnU-Net's predictor around a network that is already built and loaded."""
    settings = settings_of(recipe)
    place = device.chosen("cpu" if settings.device == "cpu" else "auto")  # a model is also used where no card is
    if place.type == "cpu":
        torch.set_num_threads(settings.threads)
    axes = mirrored_axes(recipe)
    plans: Any = PlansManager(plans_for_prediction(recipe))
    with environment.at(Path(tempfile.gettempdir())):
        made = Predictor(
            use_mirroring=axes is not None,
            perform_everything_on_device=place.type == "cuda",
            device=place,
            allow_tqdm=False,
        )
        made.manual_initialization(
            trained,
            plans,
            plans.get_configuration(configuration_of(recipe)),
            [trained.state_dict()],
            recipe["dataset"],
            "nnUNetTrainer",
            axes,
        )
    return made


def mirrored_axes(recipe: Json) -> tuple[int, ...] | None:
    """The axes to average flips over: those that training flipped, if the charter does not say otherwise."""
    return flipped_axes(recipe) if settings_of(recipe).mirroring else None


def check_grids(files: Sequence[Path], channels: Sequence[str]) -> None:
    """Raise BadInput unless all images of a case can be read and share one grid (size, spacing, origin, axes)."""
    first: Any = None
    for channel, file in zip(channels, files, strict=True):
        try:
            reader: Any = SimpleITK.ImageFileReader()
            reader.SetFileName(str(file))
            reader.ReadImageInformation()
        except RuntimeError as error:
            raise BadInput(f"the {channel} cannot be read", expected="a NIfTI image", got=file.name) from error
        grid = (reader.GetSize(), (*reader.GetSpacing(), *reader.GetOrigin(), *reader.GetDirection()))
        first = first or grid
        if grid[0] != first[0] or not np.allclose(grid[1], first[1], atol=GRID_TOLERANCE, rtol=0):
            raise BadInput(
                f"the {channel} is not on the grid of the {channels[0]}",
                expected=f"{first[0]} voxels in the same place",
                got=f"{grid[0]}",
                hint="Register it first: konsil register COHORT",
            )
