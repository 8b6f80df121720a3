"""One reader a family of image formats."""
