"""Twins of the kinds of devices, one module a kind, found by the name of the kind's table in a scenario."""
