"""A feeder from a pandapower net: what the net says in physical units, the way `pandapower.runpp` reads it by default.

Balanced; `with_phases/` reads nets with zero-sequence data, as `runpp_3ph` does.

Modelled, each exactly as in pandapower 3.5 with its default options:

- buses; closed bus-bus switches fuse them, those with ``z_ohm > 0`` are branches;
- lines, with charging, conductance, ``parallel``; transformers of two windings with taps, tap tables, shift and the T
  model, and of three, whose star is eliminated; impedances, also unlike ones by direction; resistances
  below 0, as equivalents of networks have them;
- open switches of lines and transformers: an end that hangs open leaves its charging behind as a shunt;
- loads, storages, motors, wards, asymmetric loads by the sum of their phases (consumption), sgens and asymmetric sgens
  (production), with ``scaling``; together they are the feeder's load, so that injecting ``-load_p_mw`` and
  ``-load_q_mvar`` reproduces ``runpp``. Loads that follow the voltage do so by bus, as `voltage_dependence.py` says;
- shunts with ``step``, step tables and ``vn_kv``; svc, one that is ``controllable`` as a generator without p; tcsc
  that are not ``controllable``;
- external grids, one or several, on one area or an island each; generators, whose limits of q are kept where asked
  for; DC lines; extended wards, whose inner bus is the one bus of the feeder that is none of the net's. What generators
  produce is no load: it comes on top of all injections.

Labels are the net's own bus numbers, ascending whatever the order of its rows. Fused buses go by the smallest of their
labels, or by an external grid's; `fused_buses` tells which. Left out: what is out of service, and buses that nothing
connects to an external grid. What consumes or produces there is refused or, with ``strict=False``, left out as `runpp`
does, with a warning that names it; several external grids at one bus are then one. Lines and transformers that are
open stay as branches out of service where both ends are supplied. Branches are in the order of the net's
lines, transformers, switches with impedance, three windings, impedances, extended wards, tcsc, each by its number.

Angles are relative to the first external grid: its ``va_degree`` only turns all of them. ``net.user_pf_options``,
controllers, costs, measurements and results have no influence, limits of the loading are kept. A net holding anything
else in service is refused by name.
"""

from neomflex_jax.grid.from_pandapower.convert import fused_buses, read_columns

__all__ = ["fused_buses", "read_columns"]
