"""What a validation writes, and what is read back of it."""
