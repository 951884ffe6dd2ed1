"""A centre and two sites that have joined, used by the verbs: homes with keys and passes, a folder as store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from konsil.cli.app import assemble
from konsil.cohort.adopt import Pair, adopt
from konsil.errors import KonsilError
from konsil.files import read_json


@pytest.fixture
def cohort(tmp_path: Path) -> Callable[[Path, int], Path]:
    """Make a frozen cohort of `cases` tiny images."""

    def make(root: Path, cases: int) -> Path:
        image: Any = nib.Nifti1Image(np.zeros((3, 3, 3), np.float32), np.eye(4))
        path = tmp_path / "image.nii.gz"
        nib.save(image, path)
        splits = ["train"] * cases + ["validation", "test"]
        pairs = [
            Pair(str(place), {"T1w": path, "FLAIR": path}, path, split=split) for place, split in enumerate(splits)
        ]
        labels = {"background": 0, "lesion": 1}
        adopt(pairs, name="lines", channels=["T1w", "FLAIR"], labels=labels, root=root, seed=1)
        return root

    return make


@pytest.fixture
def lines(make_affine: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a charter asks for, the fast learner comes, fed with the number of training cases."""
    world = make_affine("lender")

    def create(name: str, settings: Any, *, rounds: int, home: Path, **rest: Any) -> Any:
        learner, numbers = world.learner("A"), world.cohort("A")
        learner.rounds = rounds

        def fed(method: Any) -> Any:
            return lambda cohort, *args, **how: method(
                type(numbers)(home.name, len(cohort.split("train"))), *args, **how
            )  # the home's name seeds the numbers

        for verb in ("fingerprint", "prepare", "train", "baseline", "evaluate"):
            setattr(learner, verb, fed(getattr(learner, verb)))
        return learner

    monkeypatch.setattr("konsil.learners.registry.create", create)


class Town:
    """A centre and two sites that have joined."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self._patch, self.runner = root, monkeypatch, CliRunner()
        self.run("centre", "central", "init", "--endpoint", (root / "store").as_uri())
        for site in "AB":
            self.run("centre", "central", "invite", site, "--out", str(root / f"{site}.pass.json"))
            self.run(site, "site", "join", str(root / f"{site}.pass.json"))
        self.run("centre", "central", "sites")

    def run(self, who: str, *words: str, code: int = 0) -> Result:
        self._patch.setenv("KONSIL_HOME", str(self.root / who))
        self._patch.setenv("KONSIL_PATIENCE_S", "0")
        made = self.runner.invoke(assemble(), list(words))
        if made.exception is not None and isinstance(made.exception, KonsilError):
            raise made.exception
        assert made.exit_code == code, made.output
        return made

    def stint(self, who: str, *words: str, code: int = 0) -> Any:
        """Run a verb and give the content of its result file."""
        path = self.root / "result.json"
        self.run(who, *words, "--result", str(path), code=code)
        return read_json(path)


@pytest.fixture
def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Town:
    return Town(tmp_path, monkeypatch)
