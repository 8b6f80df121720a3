"""What works and is not settled: several images at once."""
