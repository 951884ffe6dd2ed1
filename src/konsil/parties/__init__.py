"""Centre and site: the loop that asks for the next step and does the deed.

The only room where learner and federation meet. Everything is crash-only: what a party knows is in the store and in
`<home>/runs/<run>`, so a fresh object continues where a killed one stopped.
"""
