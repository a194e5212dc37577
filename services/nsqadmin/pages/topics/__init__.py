"""The pages of topics and channels."""
