"""What works and is not settled: several fits at once."""
