"""nnU-Net v2, unpatched, as a learner: the same planner, preprocessor, trainer and predictor, fed and asked in parts.

Ours is only what a federation adds: a fingerprint that can be merged, a plan made without images, each tensor
exchanged once, the learning rate of the global round, momentum that stays at the site, and a way to go on after a kill.
Isensee et al. 2021, doi:10.1038/s41592-020-01008-z.
"""
