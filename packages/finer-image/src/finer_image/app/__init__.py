"""The commands of finer-image."""
