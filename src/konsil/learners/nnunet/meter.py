"""Where a training stands, told after every batch (konsil.progress)."""

from __future__ import annotations

from konsil.progress import Progress, Watch, tell


class Meter:
    """Counts epochs and batches of the rounds of one session. `dice` is the pseudo Dice of the last round."""

    def __init__(self) -> None:
        self.watch = Watch()
        self.dice: float | None = None
        self.round = self.rounds = self.epochs = self.epoch = self.batch = 0

    def begin(self, number: int, rounds: int, epochs: int) -> None:
        """A round begins: number `number` of `rounds`, with so many epochs. Waiting for others is not counted."""
        self.round, self.rounds, self.epochs = number, rounds, epochs
        self.epoch, self.batch, self.watch = 1, 0, Watch()

    def after_batch(self, batches: int, loss: float) -> None:
        """One batch of an epoch with `batches` is done."""
        if self.batch == batches:
            self.epoch, self.batch = self.epoch + 1, 0
        self.batch += 1
        epochs_left = (self.rounds - self.round) * self.epochs + self.epochs - self.epoch
        left_s = self.watch.left_s(epochs_left * batches + batches - self.batch)
        place = (self.round, self.rounds, self.epoch, self.epochs, self.batch, batches)
        tell(Progress(*place, loss=loss, dice=self.dice, left_s=left_s))
