"""Autograd functions and kernels of the activations: which one computes a formula, on which device."""
