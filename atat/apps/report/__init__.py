"""A page of pictures about experiments."""
