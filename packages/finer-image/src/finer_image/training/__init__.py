"""Training a network on one image: how a fit is put together, and the verb `fit`."""
