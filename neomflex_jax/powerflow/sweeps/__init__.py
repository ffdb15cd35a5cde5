"""Sweeps over the buses of a radial feeder in machine code, behind one door that may say no."""
