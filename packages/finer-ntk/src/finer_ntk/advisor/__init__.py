"""Propose a method, an omega and a bias scale for a signal, before anything is trained."""
