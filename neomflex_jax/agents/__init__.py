"""Who acts: policies and learners. Nothing here knows grids, devices or power flows."""
