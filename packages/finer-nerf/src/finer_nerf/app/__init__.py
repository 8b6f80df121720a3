"""The commands of finer-nerf."""
