"""Nets defined in Python, one file each: ``net()`` describes it, ``solver()`` how to train it."""
