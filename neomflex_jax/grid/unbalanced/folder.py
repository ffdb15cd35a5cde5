"""The folder of plain files that an unbalanced feeder is kept in: names of files and columns.

``nodes.csv``: ``node,v_base_kv,x,y``, in array order, a node being ``bus.phase``; x and y of its bus may be empty.
``elements.csv``: ``element,nodes,terminals,max_i_ka,series,series_factor,shunt,shunt_factor,fixed``: nodes of the
conductors with spaces between them, 0 for ground, and names of matrices. With the conductors of two terminals,
``series`` Y and ``shunt`` S the element is ``[[Y + S, -Y], [-Y, Y + S]]``, both times their factors; without ``shunt``,
``series`` is the whole primitive admittance. ``fixed`` is what taps do not change. ``matrices.csv``:
``matrix,row,column,g_siemens,b_siemens``, of symmetric matrices the entries on and above the diagonal that are not 0.
``sources.csv``: ``element,conductor,re_ampere,im_ampere``; the elements that it names are sources. ``windings.csv``:
``element,winding,tap,min_tap,max_tap,n_taps,kv,kva,connection``. ``loads.csv``: ``load,nodes,phases,connection,
v_nominal_kv,p_mw,q_mvar,s_mva`` and the fields of `LoadModel`; shares have spaces between them. Where there are any:
``banks.csv``: ``element,steps_in,shares,whole,whole_factor``, of capacitors with several steps or some out, shares of
the whole admittance with the first step in, the first two and so on; ``regulator_controls.csv``,
``capacitor_controls.csv``, ``other_controls.csv``, with the fields of the dataclasses in `control.py`. ``feeder.toml``:
``name``, ``frequency_hz``, and for a referee ``circuit``, the OpenDSS file that the tables were made of, with the
``circuit_sha256`` of what it said. Load shapes are not kept.
"""

from dataclasses import fields

from neomflex_jax.grid.unbalanced.load_model import LoadModel

NODES, ELEMENTS, MATRICES, SOURCES = "nodes.csv", "elements.csv", "matrices.csv", "sources.csv"
WINDINGS, LOADS, SETTINGS = "windings.csv", "loads.csv", "feeder.toml"
BANKS, REGULATOR_CONTROLS = "banks.csv", "regulator_controls.csv"
CAPACITOR_CONTROLS, OTHER_CONTROLS = "capacitor_controls.csv", "other_controls.csv"
OPTIONAL = (BANKS, REGULATOR_CONTROLS, CAPACITOR_CONTROLS, OTHER_CONTROLS)
FILES = (NODES, ELEMENTS, MATRICES, SOURCES, WINDINGS, LOADS, SETTINGS, *OPTIONAL)
NODE_COLUMNS = ("node", "v_base_kv", "x", "y")
ELEMENT_COLUMNS = (
    *("element", "nodes", "terminals", "max_i_ka"),
    *("series", "series_factor", "shunt", "shunt_factor", "fixed"),
)
MATRIX_COLUMNS = ("matrix", "row", "column", "g_siemens", "b_siemens")
SOURCE_COLUMNS = ("element", "conductor", "re_ampere", "im_ampere")
WINDING_FIELDS = ("tap", "min_tap", "max_tap", "n_taps", "kv", "kva")
WINDING_COLUMNS = ("element", "winding", *WINDING_FIELDS, "connection")
BANK_COLUMNS = ("element", "steps_in", "shares", "whole", "whole_factor")
SHARES = ("p_inside", "q_inside", "p_outside", "q_outside")
MODEL_NUMBERS = tuple(field.name for field in fields(LoadModel) if field.name not in SHARES)
LOAD_COLUMNS = (
    *("load", "nodes", "phases", "connection", "v_nominal_kv", "p_mw", "q_mvar", "s_mva"),
    *SHARES,
    *MODEL_NUMBERS,
)
SETTING_FIELDS = ("name", "frequency_hz", "circuit", "circuit_sha256")
EARTH = "0"  # a grounded conductor
EXACT = 1e-13  # relative deviation up to which a matrix is another one's multiple
