"""Differential privacy of a site's updates: the charter's part, and what its ε means (docs/formats/charter.md).

Before an update leaves, its change of the model is shortened to length C (`clip_norm`) and Gaussian noise of standard
deviation σ = z C (z = `noise_multiplier`) is added to every number. For one site and one round this is the Gaussian
mechanism (Dwork, Roth: The Algorithmic Foundations of Differential Privacy, 2014, appendix A; clipping as in McMahan,
Ramage, Talwar, Zhang: Learning Differentially Private Recurrent Language Models, ICLR 2018).

**Who is protected from whom.** The unit is the site: neighbours are all data of one site and any other data in their
place, so two updates differ by at most 2C and the mechanism's multiplier is z / 2. The protection holds against
everybody who reads the update, the centre too, because the noise is drawn at the site. R rounds compose without gain by
sampling, as every site trains in every round. The composition is opacus' (Rényi differential privacy, Mironov 2017).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from konsil.errors import Missing

ORDERS = tuple(1 + step / 10 for step in range(1, 1000)) + tuple(float(2**power) for power in range(7, 20))


class Privacy(BaseModel):
    """`clip_norm` C > 0, `noise_multiplier` z > 0, and the δ for which ε is told."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    clip_norm: Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
    noise_multiplier: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]
    delta: Annotated[float, Field(ge=1e-12, le=0.01, allow_inf_nan=False)] = 1e-5

    @property
    def sigma(self) -> float:
        """Standard deviation of the noise on every number."""
        return self.noise_multiplier * self.clip_norm

    def epsilon(self, rounds: int) -> float:
        """ε of a site after that many updates, at `delta`. Missing where opacus is not installed."""
        try:
            from opacus.accountants.analysis import rdp
        except ImportError as error:
            raise Missing("The accountant of privacy is not installed", hint="pip install 'konsil[nnunet]'") from error
        spent = rdp.compute_rdp(q=1.0, noise_multiplier=self.noise_multiplier / 2, steps=rounds, orders=ORDERS)
        return float(rdp.get_privacy_spent(orders=ORDERS, rdp=spent, delta=self.delta)[0])

    def sentence(self, rounds: int) -> str:
        """What a custodian reads."""
        return (
            f"Before it leaves, the change of the weights is shortened to length {self.clip_norm:g} and Gaussian noise "
            f"of standard deviation {self.sigma:g} is added to every weight. After {rounds} rounds this site's data "
            f"are protected, as a whole and from the centre too, with epsilon {self.epsilon(rounds):.3g} at delta "
            f"{self.delta:g} (smaller is better; above 10 it promises little). Fingerprint, numbers of cases, losses "
            "and scores are sent without noise and are not covered."
        )
