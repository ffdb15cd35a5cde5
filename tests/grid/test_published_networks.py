"""Every network of `benchmarks/networks.py` as a feeder: pandapower's voltages, or a refusal that names an element."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from networks import NETWORKS, SIMBENCH, play

WITHIN_PU = 1e-8
UNSOLVED_BY_PANDAPOWER = ("case11_iwamoto",)  # by its defaults


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NETWORKS)
def test_a_published_network_is_what_pandapower_solves(name: str) -> None:
    if name.startswith("simbench"):
        pytest.importorskip("simbench", reason="the extra `simbench` is not installed")
    row = play(name)
    assert ("note" in row) == (name in UNSOLVED_BY_PANDAPOWER), row
    assert "refused" not in row, row["refused"]
    assert row["pandapower_alone"] == 0
    if name not in UNSOLVED_BY_PANDAPOWER:
        assert row["nominal_pu"] <= WITHIN_PU
        assert not row["random_pu"] > WITHIN_PU  # NaN where both solve the nominal state alone


def test_the_page_has_a_row_for_every_network() -> None:
    page = (Path(__file__).parents[2] / "docs" / "networks.md").read_text()
    assert [name for name in NETWORKS if f"| {name} |" not in page] == []
    assert len(SIMBENCH) == 12
