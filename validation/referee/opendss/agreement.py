"""Comparison of what OpenDSS reads with the feeder that was played: the referee must not judge another grid.

Nodes, elements and loads by name, and what loads consume. Impedances and models are left to the replay: were they
others, voltages would be too.
"""

from __future__ import annotations

from collections.abc import Sequence

from neomflex_jax.errors import InputError
from neomflex_jax.grid.from_opendss.engine import Engine
from neomflex_jax.grid.unbalanced.feeder import UnbalancedFeeder

RELATIVE = 1e-9  # the same decimal numbers, read twice
FIXED_Q, FIXED_STATUS = (6, 7), (1, 2)  # load models and states that the circuit's loadmult leaves alone


def check_agreement(engine: Engine, feeder: UnbalancedFeeder) -> None:
    """Compare a circuit as it was opened, before anything is set in it.

    Raises
    ------
    InputError
        On the first difference, naming it.
    """
    where = f"OpenDSS's circuit of feeder {feeder.name!r}"
    _same(where, "node", [label.lower() for label in engine.Circuit.YNodeOrder()], list(map(str, feeder.node_labels)))
    enabled = set()
    for name in engine.Circuit.AllElementNames():
        engine.Circuit.SetActiveElement(name)
        if engine.CktElement.Enabled():
            enabled.add(name.lower())
    named = [element.name for element in (*feeder.elements, *(source.element for source in feeder.sources))]
    named += [load.name for load in feeder.loads]
    for name in named:
        if name not in enabled:
            raise InputError(f"{where} has no {name}, which the feeder has")
    kinds = {name.partition(".")[0] for name in named} | {"load", "line", "transformer", "capacitor"}
    for name in sorted(enabled - set(named)):
        if name.partition(".")[0] in kinds:
            raise InputError(f"{where} has {name}, which the feeder has not")
    for load in feeder.loads:
        if load.name.startswith("load."):
            p_mw, q_mvar = _nominal(engine, load.name)
            for found, own, unit in ((p_mw, load.p_mw, "MW"), (q_mvar, load.q_mvar, "Mvar")):
                if abs(found - own) > RELATIVE * max(abs(found), abs(own)):
                    raise InputError(f"{where}: {load.name} consumes {found:g} {unit}, and in the feeder {own:g}")


def _same(where: str, what: str, found: Sequence[str], own: Sequence[str]) -> None:
    if list(found) == list(own):
        return
    for more, fewer, has in ((found, own, "has"), (own, found, "has no")):
        others = sorted(set(more) - set(fewer))
        if others:
            raise InputError(f"{where} {has} {what} {others[0]}, other than the feeder")
    raise InputError(f"{where} has its {what}s in another order than the feeder; make the feeder again")


def _nominal(engine: Engine, name: str) -> tuple[float, float]:
    """What a load consumes in the file's snapshot, in MW and Mvar."""
    loads = engine.Loads
    loads.Name(name.partition(".")[2])
    factor = 1.0 if int(loads.Status()) in FIXED_STATUS else float(engine.Solution.LoadMult())
    of_q = 1.0 if int(loads.Model()) in FIXED_Q else factor
    return float(loads.kW()) * factor / 1000, float(loads.kvar()) * of_q / 1000
