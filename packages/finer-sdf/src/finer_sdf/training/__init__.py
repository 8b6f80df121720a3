"""Fitting: what is sampled, what is minimised, and the settings of both presets."""
