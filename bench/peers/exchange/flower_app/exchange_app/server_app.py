"""Flower's server app: stock FedAvg, evaluation off, with the times of the rounds."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from flwr.app import Array, ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from model import largest_error, make_state

app = ServerApp()


class Timed(FedAvg):
    """FedAvg that notes when rounds begin and end."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.stamps: list[float] = []
        self.ended = 0.0

    def configure_train(self, server_round: int, *args: Any, **more: Any) -> Any:
        """A round begins."""
        self.stamps.append(time.time())
        return super().configure_train(server_round, *args, **more)

    def aggregate_train(self, server_round: int, replies: Any) -> Any:
        """A round ends."""
        made = super().aggregate_train(server_round, replies)
        self.ended = time.time()
        return made


@app.main()
def main(grid: Grid, context: Context) -> None:
    """All rounds."""
    rounds, sites = int(context.run_config["num-server-rounds"]), int(context.run_config["num-clients"])
    strategy = Timed(fraction_evaluate=0.0, min_train_nodes=sites, min_available_nodes=sites)
    first = ArrayRecord({name: Array(array) for name, array in make_state().items()})
    result = strategy.start(grid=grid, initial_arrays=first, num_rounds=rounds, timeout=1800)
    weights = {name: array.numpy() for name, array in result.arrays.items()}
    found = {"stamps": [*strategy.stamps, strategy.ended], "max_abs_err": largest_error(weights, sites, rounds)}
    out = Path(os.environ["BENCH_OUT"])
    out.with_suffix(".part").write_text(json.dumps(found))
    out.with_suffix(".part").rename(out)
