"""What can be trained together: each learner turns a frozen cohort into named tensors and back.

A learner never sees the store, the other sites or a message. It gets a folder of its own (`<home>/runs/<run>`) for what
has to survive between rounds and never leaves, and the learner's part of the charter (`settings`). Use
`registry.create`; importing this package computes nothing and loads neither torch nor nnU-Net.
"""
