"""What the applications' commands share; no library module imports it."""
