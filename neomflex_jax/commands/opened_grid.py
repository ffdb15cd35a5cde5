"""The grid that a new scenario is for: a feeder, and what a net has beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from neomflex_jax.errors import InputError
from neomflex_jax.files.paths import is_folder
from neomflex_jax.grid import AnyFeeder, Feeder, load_feeder
from neomflex_jax.grid.from_pandapower import read_columns
from neomflex_jax.grid.from_pandapower.own_devices import take_devices
from neomflex_jax.grid.from_pandapower.sources import NetSource, is_net_source, open_net
from neomflex_jax.grid.from_pandapower.with_phases import has_phases
from neomflex_jax.grid.placement import NOTHING, Placement
from neomflex_jax.loose_types import PandapowerNet


@dataclass(frozen=True, eq=False)
class OpenedGrid:
    """A feeder without what became devices, those devices, and series."""

    feeder: AnyFeeder
    path: Path | None = None  # where it is a feeder folder or an OpenDSS file
    own: Placement = NOTHING  # devices of the net's own
    takes: bool = False  # True if these were asked for
    left: tuple[str, ...] = ()  # see `OwnDevices`
    wider: tuple[str, ...] = ()  # likewise
    pv_rows: Mapping[str, Mapping[int, float]] = field(default_factory=dict)  # see `OwnDevices`
    source: NetSource | None = None  # the net as it was
    net: PandapowerNet | None = None  # without what was taken


def open_grid(text: str, take: str | None, battery_hours: float) -> OpenedGrid:
    """Open what a user calls a grid.

    Parameters
    ----------
    take
        Which of a net's own devices to take, see `take_devices`; None: all of a net with series, none of others.
    battery_hours
        As in `take_devices`.

    Raises
    ------
    InputError
        As `load_feeder`, `open_net` and `take_devices`; or if devices are asked of what is no net, or of a net with
        phases.
    """
    if not is_net_source(text):
        if take not in (None, "none"):
            raise InputError(f"take_devices = {take!r}: {text} is no net, and only a net states devices with ratings")
        path = Path(text)
        return OpenedGrid(load_feeder(text), path=path if is_folder(path) or path.suffix.lower() == ".dss" else None)
    source = open_net(text)
    if has_phases(source.net):
        return _with_phases(text, source, take)
    take = take or ("none" if source.series is None else "all")
    try:
        own = take_devices(source.net, take, battery_hours=battery_hours)
        feeder = Feeder.from_columns(read_columns(own.net, source.name, strict=False))
    except InputError as error:
        raise InputError(f"{text}: {error}") from error
    return OpenedGrid(
        feeder=feeder,
        own=Placement(own.batteries, own.pv_inverters),
        takes=take != "none",
        left=own.left,
        wider=own.wider,
        pv_rows=own.pv_rows,
        source=source,
        net=own.net,
    )


def _with_phases(text: str, source: NetSource, take: str | None) -> OpenedGrid:
    """Return a net with phases; what it has stays in the grid, and it brings no series."""
    balanced = "as balanced: --from FOLDER, after `neomflex feeder import NET.json --output FOLDER`"
    if take not in (None, "none") or source.series is not None:
        asked = "series for its elements" if take in (None, "none") else f"take_devices = {take!r}"
        raise InputError(f"{text}: {asked}: not of a net with phases; {balanced}")
    try:
        feeder = Feeder.from_pandapower(source.net, strict=False, phases=True)
    except InputError as error:
        raise InputError(f"{text}: {error}; {balanced}") from error
    return OpenedGrid(feeder, source=source, net=source.net)
