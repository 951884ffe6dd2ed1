"""Bringing the images of a case onto one grid: RAS axis order, then T1w onto FLAIR by a rigid movement."""
