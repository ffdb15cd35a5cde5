"""Folders that we write: what in them is ours, one writer at a time, and results replaced as a whole."""
