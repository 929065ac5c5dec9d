"""What all kernels use: how they are compiled and kept, run on several threads, and repeated."""
