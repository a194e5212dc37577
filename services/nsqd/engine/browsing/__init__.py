"""A look at single messages of topics and channels, and what an operator does with them."""
