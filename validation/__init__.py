"""Check policies and trajectories against pandapower."""
