"""NVIDIA FLARE's first weights, and the check of its last: the stock numpy persistor holds a single array only.

Nothing is stored in between, which makes the peer a little faster than it would be in use.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from model import largest_error, make_state
from nvflare.app_common.abstract.model import ModelLearnableKey, make_model_learnable
from nvflare.app_common.abstract.model_persistor import ModelPersistor


class DictPersistor(ModelPersistor):
    """A dict of numpy arrays."""

    def __init__(self, n_sites: int = 3, rounds: int = 6) -> None:
        super().__init__()
        self.n_sites, self.rounds, self.saves = n_sites, rounds, 0

    def load_model(self, fl_ctx: Any) -> Any:
        """The first weights."""
        return make_model_learnable(weights=make_state(), meta_props={})

    def save_model(self, ml: Any, fl_ctx: Any) -> None:
        """Count; after the last round compare."""
        self.saves += 1
        if self.saves == self.rounds:
            error = largest_error(ml[ModelLearnableKey.WEIGHTS], self.n_sites, self.rounds)
            Path(os.environ["BENCH_OUT"]).write_text(json.dumps({"max_abs_err": error}))
