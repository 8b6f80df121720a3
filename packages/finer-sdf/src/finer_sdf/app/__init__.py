"""The commands of finer-sdf."""
