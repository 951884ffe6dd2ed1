"""Secure aggregation: the centre opens sums of updates, and no single one (docs/formats/federation.md, section 11).

Bonawitz, Ivanov, Kreuter, Marcedone, McMahan, Patel, Ramage, Segal, Seth: Practical Secure Aggregation for
Privacy-Preserving Machine Learning. ACM CCS 2017. Where this differs (shares of a round's seeds travel in the update)
and what it protects from whom: docs/decisions/020-secure-aggregation.md.
"""
