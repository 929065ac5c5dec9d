"""Convolution, compiled: several algorithms, and the rule that chooses one."""
