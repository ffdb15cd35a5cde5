"""An unbalanced feeder from a file of OpenDSS, which reads it itself.

What is taken: lines, transformers, autotransformers, capacitors, reactors and faults by their primitive admittances (of
any connection, with what is open left open), voltage and current sources, loads of the models 1 to 8, generators of
constant power or impedance, PV systems and storages by what they feed in, load shapes, coordinates. Taps, capacitors
and switches are as the file leaves them, moved or not by a `solve` in it; RegControl and CapControl are read, other
controls are named as not followed. Anything else that takes part in a power flow is refused by its name.
"""

from neomflex_jax.grid.from_opendss.reader import read_feeder

__all__ = ["read_feeder"]
