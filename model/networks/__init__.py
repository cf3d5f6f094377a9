"""The networks in PyTorch; only training and the torch runtime import them."""
