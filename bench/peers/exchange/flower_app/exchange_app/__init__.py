"""Flower's app for the exchange: nothing is trained."""
