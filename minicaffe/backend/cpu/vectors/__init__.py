"""Vectors of the machine in compiled code, and what moves numbers by them."""
