"""Kernels for NVIDIA GPUs, as CUDA C that NVRTC compiles. ``README.md`` tells how they are made and tested."""
