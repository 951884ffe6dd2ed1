"""The site's side of a federation as Airflow tasks: `konsil take-part`."""

from __future__ import annotations

from operators.party import PartyOperator


class TakePartOperator(PartyOperator):
    """Do the site's deeds up to the end of a phase, waiting warm for at most `patience_s` between two of them.

    :param run_name: name of the federation's run (templated)
    :param until: charter, answers, recipe, prepare, rounds, evaluation or release
    :param patience_s: seconds to wait warm; empty means the site's own setting (templated)
    """

    def arguments(self) -> list[str]:
        """The verb with phase and patience."""
        return ["take-part", self.run_name, *self.limits()]
