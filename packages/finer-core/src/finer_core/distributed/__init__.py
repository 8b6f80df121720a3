"""One fit on several processes, as torchrun starts them."""
