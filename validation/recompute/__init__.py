"""The record worked out a second time in NumPy, from its scenario; shares no code with what wrote it."""
