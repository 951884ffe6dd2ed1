"""Flower 1.28's gRPC server (`start_server`), the interface that FednnU-Net uses: stock FedAvg, evaluation off.

python flower_bidi_server.py SITES ROUNDS ADDRESS
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import flwr as fl
from flwr.common import ndarrays_to_parameters, parameters_to_ndarrays
from model import largest_error, make_state


class Timed(fl.server.strategy.FedAvg):
    """FedAvg that notes when rounds begin and end, and keeps the last model."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.stamps: list[float] = []
        self.last: Any = None

    def configure_fit(self, server_round: int, *args: Any, **more: Any) -> Any:
        """A round begins."""
        self.stamps.append(time.time())
        return super().configure_fit(server_round, *args, **more)

    def aggregate_fit(self, server_round: int, results: Any, failures: Any) -> Any:
        """A round ends."""
        self.last, metrics = super().aggregate_fit(server_round, results, failures)
        self.ended = time.time()
        return self.last, metrics


def main() -> None:
    """Serve all rounds."""
    sites, rounds, address = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    first = make_state()
    strategy = Timed(
        fraction_evaluate=0.0, min_fit_clients=sites, min_available_clients=sites, min_evaluate_clients=sites,
        initial_parameters=ndarrays_to_parameters(list(first.values())))  # fmt: skip
    fl.server.start_server(
        server_address=address, strategy=strategy, config=fl.server.ServerConfig(num_rounds=rounds),
        grpc_max_message_length=2**31 - 1)  # fmt: skip
    weights = dict(zip(first, parameters_to_ndarrays(strategy.last), strict=True))
    found = {"stamps": [*strategy.stamps, strategy.ended], "max_abs_err": largest_error(weights, sites, rounds)}
    out = Path(os.environ["BENCH_OUT"])
    out.with_suffix(".part").write_text(json.dumps(found))
    out.with_suffix(".part").rename(out)


if __name__ == "__main__":
    main()
