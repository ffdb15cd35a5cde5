"""An unbalanced feeder from a pandapower net with zero-sequence data: what `pandapower.runpp_3ph` solves.

Every bus has the phases 1, 2, 3 and ground; a node is ``bus.phase``, ``"12.3"``. Modelled as in pandapower 3.5:

- lines with ``r0_ohm_per_km``, ``x0_ohm_per_km``, ``c0_nf_per_km``; transformers of the vector groups Dyn, YNyn and Yzn
  with ``vk0_percent``, ``vkr0_percent``, ``mag0_percent``, ``mag0_rx``, ``si0_hv_partial``, at their present taps; open
  switches; closed bus-bus switches, which join their buses;
- external grids: in the positive sequence they hold their voltage, in the others they are the impedance that follows
  from ``s_sc_max_mva``, ``rx_max``, ``x0x_max`` and ``r0x0_max``;
- loads and sgens, asymmetric ones too, of the types wye and delta, all of constant power. One with three equal phases
  is one load, any other is a load for each phase that has power: ``asymmetric_load.7.b``.

What `runpp_3ph` leaves out in silence (loads of no known type, storages, loads that follow the voltage) or takes with
another meaning (an earthing impedance) is refused by name, and so is what it does not solve.
"""

from neomflex_jax.grid.from_pandapower.with_phases.reader import has_phases, read_unbalanced

__all__ = ["has_phases", "read_unbalanced"]
