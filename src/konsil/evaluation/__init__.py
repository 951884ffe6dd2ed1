"""How good a segmentation is: overlap per label, volumes, lesion counts, and their summaries.

Nothing here knows which learner drew the mask. An undefined figure (a Dice of two empty masks) is `None` and is
left out of every mean; it is never 0, 1 or -1.
"""
