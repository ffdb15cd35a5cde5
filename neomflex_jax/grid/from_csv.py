"""A feeder from a folder of plain files.

``buses.csv``: ``bus,vn_kv,p_mw,q_mvar`` (nominal consumption). ``branches.csv``: ``from_bus,to_bus,r_ohm,x_ohm,
in_service[,max_i_ka]``. ``feeder.toml``, optional: ``slack_bus`` (default: the first row) and ``slack_vm_pu`` (1.0).
"""

import tomllib
from pathlib import Path

from neomflex_jax.errors import InputError, unknown_name
from neomflex_jax.grid.feeder import Feeder, build_feeder
from neomflex_jax.tables import integers, numbers, read_table

SETTINGS = {"slack_bus", "slack_vm_pu"}


def read_feeder(folder: Path) -> Feeder:
    """Read and validate the feeder in `folder`; raises `InputError` naming file, line and column."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such feeder folder")
    settings = _read_settings(folder / "feeder.toml")
    buses_path, branches_path = folder / "buses.csv", folder / "branches.csv"
    buses = read_table(buses_path, ("bus", "vn_kv", "p_mw", "q_mvar"))
    branches = read_table(branches_path, ("from_bus", "to_bus", "r_ohm", "x_ohm", "in_service"))
    vn_kv = numbers(buses_path, buses, "vn_kv")
    if len(buses) < 2 or (vn_kv <= 0).any():
        raise InputError(f"{buses_path}: a feeder needs at least two buses, each with vn_kv above 0")
    ends = zip(integers(branches_path, branches, "from_bus"), integers(branches_path, branches, "to_bus"), strict=True)
    rated = "max_i_ka" in branches.columns
    return build_feeder(
        name=folder.name,
        bus_labels=integers(buses_path, buses, "bus"),
        vn_kv=vn_kv.tolist(),
        load_p_mw=numbers(buses_path, buses, "p_mw").tolist(),
        load_q_mvar=numbers(buses_path, buses, "q_mvar").tolist(),
        branches=list(ends),
        r_ohm=numbers(branches_path, branches, "r_ohm").tolist(),
        x_ohm=numbers(branches_path, branches, "x_ohm").tolist(),
        in_service=[value != 0 for value in integers(branches_path, branches, "in_service")],
        max_i_ka=numbers(branches_path, branches, "max_i_ka").tolist() if rated else None,
        slack_bus=settings.get("slack_bus"),
        slack_vm_pu=float(settings.get("slack_vm_pu", 1.0)),
    )


def _read_settings(path: Path) -> dict[str, int]:
    if not path.exists():
        return {}
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a TOML file ({error})") from error
    for name, value in settings.items():
        if name not in SETTINGS:
            raise unknown_name(f"field in {path}", name, SETTINGS)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(f"{path}: {name} = {value!r} must be a number")
    if not 0.5 <= settings.get("slack_vm_pu", 1.0) <= 1.5:
        raise InputError(f"{path}: slack_vm_pu = {settings['slack_vm_pu']} must lie in 0.5 to 1.5")
    return settings
