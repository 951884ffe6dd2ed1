"""Konsil: hospitals prepare brain MRI and train models together; no image and no identifier leaves a site."""

__version__ = "0.1.0"
