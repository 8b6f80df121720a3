"""Parts of images that stay on disk."""
