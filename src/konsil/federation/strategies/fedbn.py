"""FedBN: the normalisation layers stay at their site, everything else is averaged.

Li, Jiang, Zhang, Kamp, Dou: FedBN: Federated Learning on Non-IID Features via Local Batch Normalization. ICLR 2021,
section 3 and algorithm 1: each site keeps its own normalisation parameters and statistics; the others are FedAvg's.
Scanners differ in how intensities are spread, which is what these layers learn.

Which tensors are normalisation layers is said by the learner, which knows the network, in the recipe; nobody guesses
it from names. They keep their first weights in the global message, so a site that never trained starts from those, and
the centre's own copy of the model lacks every site's layers. The arithmetic is AsymFedAvg's.
"""

from __future__ import annotations

from konsil.federation.strategies.asym_fedavg import KeepingSite


class FedBNSite(KeepingSite):
    """Keeps the tensors that the recipe names as normalisation layers."""
