"""Flower's client app: add the site's constant."""

from __future__ import annotations

from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from model import delta_for

app = ClientApp()


@app.train()
def train(msg: Message, context: Context) -> Message:
    """One round."""
    delta = delta_for(int(context.node_config["partition-id"]))
    arrays = ArrayRecord({name: Array(array.numpy() + delta) for name, array in msg.content["arrays"].items()})
    metrics = MetricRecord({"num-examples": 1})
    return Message(content=RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=msg)
