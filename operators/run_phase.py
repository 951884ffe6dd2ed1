"""The centre's side of a federation as Airflow tasks: `konsil run --resume`."""

from __future__ import annotations

from operators.party import PartyOperator


class RunPhaseOperator(PartyOperator):
    """Do the centre's deeds up to the end of a phase, waiting warm for at most `patience_s` between two of them.

    :param run_name: name of the federation's run (templated)
    :param until: charter, answers, recipe, prepare, rounds, evaluation or release
    :param patience_s: seconds to wait warm; empty means the centre's own setting (templated)
    """

    def arguments(self) -> list[str]:
        """The verb with phase and patience."""
        return ["run", "--resume", self.run_name, *self.limits()]
