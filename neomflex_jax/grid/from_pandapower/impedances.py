"""Impedances of a net as two-ports, between buses of one voltage level or of two.

Stated per unit of ``sn_mva`` and the buses' `vn_kv`: ``z = (rft + j xft) vn_to^2 / sn`` and, across either end,
``(gf + j bf) sn / vn^2`` and ``(gt + j bt) sn / vn^2``, shunts at the buses. One whose rtf and xtf are others shows
these from its `to` end, as the feeder's `back`. Source: pandapower 3.5, build_branch.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from neomflex_jax.grid.checks import SAME_LEVEL
from neomflex_jax.grid.from_pandapower.branches import Branch, stated
from neomflex_jax.grid.from_pandapower.rows import Rows
from neomflex_jax.grid.from_pandapower.transformers import SMALLEST

if TYPE_CHECKING:
    from pandapower import pandapowerNet

SAME_IMPEDANCE = 1e-9  # relative difference of both ways up to which they are one


def impedance_branches(net: pandapowerNet, vn_kv: dict[int, float]) -> Iterator[Branch]:
    """Return every impedance: those in service, then those out of service; `vn_kv` by bus number."""
    rows = Rows.of(net, "impedance")
    for part, closed in ((rows.in_service(), True), (rows.out_of_service(), False)):
        sn_mva = part.numbers("sn_mva")
        there, back = (part.numbers(f"r{way}_pu") + 1j * part.numbers(f"x{way}_pu") for way in ("ft", "tf"))
        from_pu, to_pu = (
            part.numbers(f"g{end}_pu", absent=0.0) + 1j * part.numbers(f"b{end}_pu", absent=0.0) for end in "ft"
        )
        if closed:
            part.refuse_values(sn_mva < SMALLEST, "sn_mva", sn_mva, "it must be above 0")
        sn_mva[~(sn_mva > 0)] = np.nan
        unlike = np.abs(there - back) > SAME_IMPEDANCE * np.abs(there)
        ends = zip(part.numbers_of_rows, part.labels("from_bus"), part.labels("to_bus"), strict=True)
        for row, (number, from_bus, to_bus) in enumerate(ends):
            kv, level_ratio = vn_kv.get(to_bus, math.nan), vn_kv.get(from_bus, math.nan) / vn_kv.get(to_bus, math.nan)
            said = {"rft_pu": there[row].real, "xft_pu": there[row].imag}
            if unlike[row]:
                said |= {"rtf_pu": back[row].real, "xtf_pu": back[row].imag}
            same_level = abs(level_ratio - 1) <= SAME_LEVEL
            yield Branch(
                number=number,
                title=part.title(row),
                from_bus=from_bus,
                to_bus=to_bus,
                z_ohm=complex(there[row] * kv**2 / sn_mva[row]),
                back_z_ohm=complex(back[row] * kv**2 / sn_mva[row]) if unlike[row] else None,
                rated_ratio=1.0 if same_level else level_ratio,
                stated=stated({**said, "sn_mva": sn_mva[row]}),
                is_line=False,
                is_equivalent=True,
                from_siemens=complex(from_pu[row] * sn_mva[row] / kv**2),
                to_siemens=complex(to_pu[row] * sn_mva[row] / kv**2),
                from_closed=closed,
                to_closed=closed,
            )
