"""Convolution with 3x3 kernels at stride 1 by the method of Winograd."""
