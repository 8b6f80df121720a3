"""Fitting: what is sampled, what is minimized, and the settings of both presets."""
