"""The commands' work, from settings to a filled run folder: `kernel_run`, `spectrum_run`, `sweep_run`."""
