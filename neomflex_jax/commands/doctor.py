"""``neomflex doctor``: what this machine computes on, how, and whether the answers are right.

The self-test solves case33bw's nominal loads. What it must find was published with the feeder (M. E. Baran, F. F. Wu,
IEEE Trans. Power Delivery 4(2), 1989): 202.7 kW of losses, 0.9131 pu at the lowest; more digits are pandapower's.
"""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from neomflex_jax.commands.answering import Answering
from neomflex_jax.commands.console import console
from neomflex_jax.errors import InputError
from neomflex_jax.files.text import read_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    import jax

EXACT = ("ac", "newton")
LOSS_MW, LOWEST_PU = 0.202677, 0.913090  # `tests/golden/feeders.json`; the test holds both against it
LOSS_OFF_MW, VOLTAGE_OFF_PU = 2e-6, 2e-6  # of float32
NVIDIA, DISPLAY = "0x10de", "0x03"  # vendor, and the first byte of the class, of a PCI device
PCI_DEVICES = "sys/bus/pci/devices/*"
FIRST_DRIVERS = {"cuda13": 580, "cuda12": 525}  # which an extra needs, newest first


@dataclass(frozen=True)
class DoctorCommand(Answering):
    """Look at this machine: devices, versions, the form each power flow takes and why, and a short self-test.

    Names what to install where a graphics card lies idle. The exit status is 1 if an answer is wrong.
    """

    def execute(self, started: float) -> int:
        """Look and test; returns the exit status."""
        import jax

        lines = [("versions", _versions()), ("devices", _devices(jax.devices()))]
        kind = jax.devices()[0].platform
        advice = "" if kind != "cpu" else card_advice(Path("/"), _plugins(), os.environ.get("JAX_PLATFORMS", ""))
        lines += [("graphics card", advice)] if advice else []
        lines += [("ac, calibrated", _form_of_sweeps(kind)), ("newton, lindistflow, dc", "matrix products, everywhere")]
        lines += [("feeders with phases", _opendss())]
        for name, text in lines:
            console.print(f"{name + ':':<25}{text}", style="yellow" if name == "graphics card" else None)
        wrong: list[str] = []
        answers: dict[str, Found] = {}
        for method in EXACT:
            found = answers[method] = solve(method)
            right = abs(found.loss_mw - LOSS_MW) <= LOSS_OFF_MW and abs(found.lowest_pu - LOWEST_PU) <= VOLTAGE_OFF_PU
            wrong += [] if right else [method]
            said = f"{1000 * found.loss_mw:.3f} kW lost, {found.lowest_pu:.5f} pu at the lowest"
            expected = "as stored" if right else f"but stored are {1000 * LOSS_MW:.3f} kW and {LOWEST_PU:.5f} pu"
            console.print(f"{'self-test, ' + method + ':':<25}{said}, {expected}", style=None if right else "red")
        console.found(**dict(lines), self_test={name: found._asdict() for name, found in answers.items()}, wrong=wrong)
        if wrong:
            console.print(f"wrong: {', '.join(wrong)}; do not trust this machine's results", style="red")
        return 1 if wrong else 0


class Found(NamedTuple):
    """What a method says of case33bw's nominal loads."""

    loss_mw: float
    lowest_pu: float


def solve(method: str) -> Found:
    """Solve case33bw's nominal loads, some cases at once; what is returned is of the one that is furthest off."""
    import jax.numpy as jnp
    import numpy as np

    from neomflex_jax.grid import load_balanced_feeder
    from neomflex_jax.powerflow import power_flow

    feeder = load_balanced_feeder("case33bw")
    p_mw, q_mvar = (jnp.tile(-jnp.asarray(load), (3, 1)) for load in (feeder.load_p_mw, feeder.load_q_mvar))
    flow = power_flow(feeder, p_mw, q_mvar, method, fields=("vm_pu", "loss_mw"))
    loss_mw = np.asarray(flow.loss_mw, float)
    worst = int(np.argmax(np.nan_to_num(np.abs(loss_mw - LOSS_MW), nan=np.inf)))
    return Found(float(loss_mw[worst]), float(np.min(np.asarray(flow.vm_pu)[worst])))


def card_advice(root: Path, plugins: list[str], asked_for: str) -> str:
    """Return what to do about a card that JAX does not use, "" where there is none.

    Parameters
    ----------
    root
        Where the system's folders ``proc`` and ``sys`` lie.
    plugins
        JAX's CUDA plugins that are installed.
    asked_for
        What ``JAX_PLATFORMS`` says.
    """
    driver = _driver(root)
    if driver is None:
        if not _card_without_driver(root):
            return ""
        return "an NVIDIA card is there and no driver; install NVIDIA's driver, then one of the extras cuda12, cuda13"
    extra = next((name for name, first in FIRST_DRIVERS.items() if driver >= first), None)
    if extra is None:
        return f"its driver, {driver}, is too old for JAX; install one from {FIRST_DRIVERS['cuda12']} on"
    if not plugins:
        return f"an NVIDIA driver ({driver}) is there, and JAX without CUDA: pip install -e '.[{extra}]'"
    if asked_for and not {"cuda", "gpu"} & set(re.split(r"\s*,\s*", asked_for.strip())):
        return f"left out by JAX_PLATFORMS={asked_for}; unset it to use the card"
    there = f"driver {driver} and {plugins[0]} are there"
    return f"{there}, and JAX does not start it: JAX_PLATFORMS=cuda neomflex doctor says more"


def _driver(root: Path) -> int | None:
    """Return the major version of NVIDIA's driver, None where none is loaded."""
    said = _said(root / "proc/driver/nvidia/version")
    if said is None:
        return None
    found = re.search(r"(?:Kernel Module.*?)(\d{3,})\.\d+", said)
    return int(found[1]) if found else 0


def _card_without_driver(root: Path) -> bool:
    devices = [[_said(path / name) or "" for name in ("vendor", "class")] for path in root.glob(PCI_DEVICES)]
    return any(vendor.strip() == NVIDIA and kind.startswith(DISPLAY) for vendor, kind in devices)


def _said(path: Path) -> str | None:
    """Return what the system says in a file; None where there is none that can be read."""
    try:
        return read_text(path)
    except InputError:
        return None


def _plugins() -> list[str]:
    found = []
    for name in ("jax-cuda13-plugin", "jax-cuda12-plugin"):
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return found


def _versions() -> str:
    import jax

    from neomflex_jax._version import __version__

    own = f"neomflex-jax {__version__}, jax {jax.__version__}, jaxlib {metadata.version('jaxlib')}"
    return ", ".join([own, f"Python {platform.python_version()}", *_plugins()])


def _opendss() -> str:
    """Return what can be done with feeders with phases here."""
    try:
        version = metadata.version("opendssdirect.py")
    except metadata.PackageNotFoundError:
        return "packaged ones are played; .dss files are read and runs judged by: pip install 'neomflex-jax[opendss]'"
    return f"OpenDSS (opendssdirect.py {version}) reads .dss files and judges runs"


def _devices(devices: Sequence[jax.Device]) -> str:
    """Return how many there are of which kind, and the memory that is free on the first."""
    from neomflex_jax.training.memory import GIB, free_bytes

    free = free_bytes()
    memory = "" if free is None else f", {free / GIB:.1f} GiB free"
    return f"{len(devices)} x {devices[0].device_kind} ({devices[0].platform}){memory}"


def _form_of_sweeps(kind: str) -> str:
    """Return the form of `ac` and `calibrated` where programs are compiled for this kind of device, and why."""
    from neomflex_jax.powerflow.sweeps.door import SWITCH, Sweep, fault, fused_fault, wanted

    if kind not in ("cpu", "gpu", "cuda"):
        return f"matrix products over the whole batch, as programs are compiled for {kind}"
    if not wanted():
        return f"matrix products, as {SWITCH}=off asks for"
    if kind != "cpu":
        reason = fused_fault(Sweep.AC, "float32") or fused_fault(Sweep.CALIBRATED, "float32")
        if reason:
            return f"matrix products over the whole batch, as there is no kernel: {reason}"
        return "radial feeders by a kernel for each, which solved its trial; others by matrix products"
    reason = fault(Sweep.AC, "float32") or fault(Sweep.CALIBRATED, "float32")
    if reason:
        return f"matrix products, as there is no machine code: {reason}"
    return "radial feeders by sweeps in machine code, which solved their trial; others by matrix products"
