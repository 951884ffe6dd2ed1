"""A model for people who have nnU-Net and not Konsil: in the place where nnU-Net's own commands look for it.

::

    <out>/Dataset5xx_<run>/nnUNetTrainer__nnUNetPlans__3d_fullres/
        plans.json  dataset.json  dataset_fingerprint.json  model-card.md
        fold_all/checkpoint_final.pth

`<out>` is a folder that the receiver names as `nnUNet_results`, or a zip file for
`nnUNetv2_install_pretrained_model_from_zip`, which unpacks it there. The checkpoint is made anew from the tensors;
nothing pickled is read.
"""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

from konsil.errors import BadInput
from konsil.files import PART, read_json, replacing, working_folder
from konsil.learners.nnunet import model_folder
from konsil.learners.nnunet.recipe import PLANS, configuration_of
from konsil.types import Json

TRAINER = "nnUNetTrainer"
CARDS = ("model-card.md", "model-card.json")
OLDEST = (1980, 1, 1, 0, 0, 0)  # the same model gives the same zip, whenever it is made


def export(model: Path, out: Path, *, replace: bool = False) -> Json:
    """Write the model in the folder `model` to `out`: a zip if its name ends so, else a folder `nnUNet_results`.

    Returns `{"dataset", "configuration", "trainer", "plans", "fold"}`, the words nnU-Net's commands ask for. Raises
    Missing or BadInput for what is no model or not fit for use, and BadInput if there is something at `out` already
    (a zip may be replaced).
    """
    recipe = fit_for_use(model)
    name, configuration = str(recipe["plans"]["dataset_name"]), configuration_of(recipe)
    inside = f"{name}/{TRAINER}__{PLANS}__{configuration}"
    target = out if out.suffix == ".zip" else out / name
    if target.exists() and not (replace and target.is_file()):
        raise BadInput("there is something in the place of the export", expected="a new name", got=target.name)
    with working_folder(target.absolute().parent) as (part, _):
        made = part / inside
        model_folder.write_nnunet(*model_folder.read(model)[:2], made)
        for card in CARDS:
            if (model / card).is_file():
                shutil.copyfile(model / card, made / card)
        if out.suffix == ".zip":
            pack(part, out)
        else:
            (part / name).replace(target)
    return {"dataset": name, "configuration": configuration, "trainer": TRAINER, "plans": PLANS, "fold": "all"}


def fit_for_use(model: Path) -> Json:
    """The model's recipe. Raises BadInput where the card says that tensors lack (a centre's model under FedBN)."""
    card = read_json(model / CARDS[1]) if (model / CARDS[1]).is_file() else {}
    if card.get("lacks"):
        raise BadInput(
            "this model is not for use: its normalisation layers stayed at the sites",
            hint="Take the model that a site stored",
        )
    return model_folder.read_recipe(model)


def pack(folder: Path, out: Path) -> None:
    """All files below `folder` in one zip with their relative names; weights do not compress, so nothing is."""
    with replacing(out) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(PART)):
            entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), OLDEST)
            with archive.open(entry, "w", force_zip64=True) as target, file.open("rb") as source:
                shutil.copyfileobj(source, target)
