"""Flower 1.28's gRPC client: add the site's constant.    python flower_bidi_client.py PLACE ADDRESS."""

from __future__ import annotations

import sys
from typing import Any

import flwr as fl
from model import delta_for


class Adder(fl.client.NumPyClient):
    """Adds a constant to every array."""

    def get_parameters(self, config: Any) -> Any:
        """The server has the first weights."""
        return []

    def fit(self, parameters: Any, config: Any) -> Any:
        """One round."""
        return [array + delta_for(int(sys.argv[1])) for array in parameters], 1, {}


if __name__ == "__main__":
    most = 2**31 - 1
    client = Adder().to_client()
    fl.client.start_client(server_address=sys.argv[2], client=client, insecure=True, grpc_max_message_length=most)
