"""OpenDSS as the referee of feeders with phases: it reads its own circuit, and solves every step of a record in it."""
