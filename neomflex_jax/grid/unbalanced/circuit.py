"""The file that a feeder was read from, for a referee that has OpenDSS or pandapower read it again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Circuit:
    """A master file of OpenDSS or a ``net.json``, and what it said when the feeder was read."""

    path: Path
    sha256: str  # of the commands that OpenDSS was told, or of the net.json
