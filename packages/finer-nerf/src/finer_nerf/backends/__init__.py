"""Optional libraries for a GPU, used where they are installed."""
