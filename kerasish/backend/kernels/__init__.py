"""Compiled kernels: faster candidates for the calls of a plan, all optional. See README.md here."""
