"""Trained policies on disk: one safetensors file an agent, with its sizes, scenario and version inside.

Files are checked before use: a safetensors file holds arrays and strings only, and names, shapes, dtypes and finiteness
must be those that the header promises.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Num
from safetensors import SafetensorError, safe_open

from neomflex_jax._version import __version__
from neomflex_jax.agents.networks import ACTIVATIONS, ActorNetwork, NetworkPolicy, StackedPolicy, team_policy
from neomflex_jax.errors import InputError, short_path, shown
from neomflex_jax.files.json_values import parse_json
from neomflex_jax.files.paths import is_folder
from neomflex_jax.files.same_bytes import safetensors_bytes
from neomflex_jax.one_line import cut, one_line

FORMAT = "neomflex-policy"
FORMAT_VERSION = "1"
MAX_BYTES = 256 * 1024 * 1024
SIZES = ("observation_size", "action_size", "n_layers")
STATED = (*SIZES, "layout", "agent", "scenario", "neomflex_jax_version")
LARGEST_OBSERVATION = 1e6  # by far: per unit, MW, MWh, money per MWh
UNFINISHED = ".new"  # folder among the policies, while they are written


@dataclass(frozen=True)
class PolicyInfo:
    """What a policy file says of itself."""

    agent: str
    scenario: str
    layout: dict[str, object]  # the agent's part of `Scenario.observation_layout`
    version: str
    sha256: str

    __repr__ = one_line


class Policies:
    """Every agent's policy: ``policies({agent: observation}) -> {agent: action}``, NumPy, unpadded, the mode."""

    def __init__(self, networks: Mapping[str, ActorNetwork], info: Mapping[str, PolicyInfo]) -> None:
        self.networks = dict(networks)
        self.info = dict(info)

    def __repr__(self) -> str:
        scenarios = sorted({info.scenario for info in self.info.values()})
        return f"Policies({len(self.networks)} agents, trained for {cut(', '.join(scenarios))})"

    def __call__(self, observations: Mapping[str, Num[np.ndarray, "... _"]]) -> dict[str, Float[np.ndarray, "... _"]]:
        """Act for every agent given.

        Parameters
        ----------
        observations
            (..., observation size of the agent) by agent, unpadded.

        Returns
        -------
        dict
            The modes, (..., action size of the agent) by agent, in [-1, 1].

        Raises
        ------
        InputError
            If there is no policy for an agent, or its observation has another size.
        """
        actions = {}
        for agent, observation in observations.items():
            network = self.networks.get(agent)
            if network is None:
                raise InputError(f"no policy for agent {agent!r}; there are: {', '.join(self.networks)}")
            values = np.asarray(observation, np.float32)
            if values.ndim == 0 or values.shape[-1] != network.observation_size:
                raise InputError(
                    f"the observation of {agent} has shape {values.shape}; its policy takes {network.observation_size}"
                )
            actions[agent] = network(values)
        return actions

    def as_policy(self, layout: Mapping[str, Mapping[str, object]], scenario: str) -> NetworkPolicy | StackedPolicy:
        """Return these actors as a `Policy` on a scenario's padded arrays.

        Raises
        ------
        InputError
            If these policies were trained for another scenario, or for other agents, buses or devices.
        """
        for agent, part in layout.items():
            if agent not in self.networks:
                raise InputError(f"no policy for agent {agent!r}; there are: {', '.join(self.networks)}")
            info = self.info[agent]
            if info.scenario != scenario or info.layout != part:
                raise InputError(
                    f"the policy of {agent} was trained for scenario {info.scenario!r} with {_sizes(info.layout)}; "
                    f"scenario {scenario!r} has {_sizes(part)}. Train policies for this scenario"
                )
        return team_policy([self.networks[agent] for agent in layout])

    def to_start(self, layout: Mapping[str, Mapping[str, object]]) -> tuple[ActorNetwork, ...]:
        """Return these actors in the order of a scenario's agents, to go on learning with, whatever they learned on.

        Raises
        ------
        InputError
            If they see or do something else there.
        """
        for agent, part in layout.items():
            if agent not in self.networks:
                raise InputError(f"initial policies: none of {agent!r}; there are: {', '.join(self.networks)}")
            info = self.info[agent]
            check_same_layout(f"initial policies: that of {agent}, of scenario {info.scenario!r},", info.layout, part)
        return tuple(self.networks[agent] for agent in layout)


def check_same_layout(who: str, theirs: Mapping[str, object], ours: Mapping[str, object]) -> None:
    """Raise `InputError` where an agent's part of another `Scenario.observation_layout` is not ours, and say which."""
    for name in dict.fromkeys([*ours, *theirs]):
        other, own = theirs.get(name), ours.get(name)
        if other != own:
            advice = "start from one with the same agents, buses, devices and observation"
            raise InputError(f"{who} has {name} {shown(other)}, and here they are {shown(own)}; {advice}")


def save_policies(
    folder: Path, networks: Mapping[str, ActorNetwork], scenario: str, layout: Mapping[str, object]
) -> None:
    """Write ``<agent>.safetensors`` for every agent.

    They are written beside their place first. Then all old ones go before the first new one comes: a team that is cut
    off in between lacks agents, which is noticed, and never acts half by old policies.
    """
    new = folder / UNFINISHED
    if new.is_symlink():
        raise InputError(f"{new}: is a link; remove it")
    new.mkdir(parents=True, exist_ok=True)
    for left in new.iterdir():
        left.unlink()
    for agent, network in networks.items():
        tensors = {
            "observation_mean": np.asarray(network.observation_mean, np.float32),
            "observation_scale": np.asarray(network.observation_scale, np.float32),
        }
        for index, (kernel, bias) in enumerate(network.layers):
            tensors[f"layer_{index}.kernel"] = np.ascontiguousarray(kernel, np.float32)
            tensors[f"layer_{index}.bias"] = np.ascontiguousarray(bias, np.float32)
        header = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "neomflex_jax_version": __version__,
            "agent": agent,
            "scenario": scenario,
            "layout": json.dumps(layout[agent], sort_keys=True),
            "observation_size": str(network.observation_size),
            "action_size": str(network.action_size),
            "n_layers": str(len(network.layers)),
            "activation": network.activation,
        }
        (new / f"{agent}.safetensors").write_bytes(safetensors_bytes(tensors, header))
    for agent in networks:
        (folder / f"{agent}.safetensors").unlink(missing_ok=True)
    for agent in networks:
        (new / f"{agent}.safetensors").replace(folder / f"{agent}.safetensors")
    new.rmdir()


def load_policies(folder: str | Path) -> Policies:
    """Load the trained policies of a run.

    Parameters
    ----------
    folder
        The run's, or the `policies` folder in it.

    Returns
    -------
    Policies
        Callable ``{agent: observation} -> {agent: action}``; NumPy only, nothing is compiled.

    Raises
    ------
    InputError
        If there are none, or a file is not what its header says.
    """
    where = Path(folder)
    if is_folder(where / "policies"):
        where = where / "policies"
    paths = sorted(where.glob("*.safetensors")) if is_folder(where) else []
    if not paths:
        seeds = sorted(each.parent.name for each in where.glob("*/policies"))
        way_out = f"one seed's folder, as {seeds[0]}" if seeds else "the output folder of a training"
        raise InputError(f"{short_path(where)}: no policies here (no .safetensors files); give {way_out}")
    networks, info = {}, {}
    for path in paths:
        network, about = _read(path)
        if about.agent in networks:
            raise InputError(f"{path}: a second policy for agent {about.agent!r}; remove one")
        networks[about.agent], info[about.agent] = network, about
    return Policies(networks, info)


def _read(path: Path) -> tuple[ActorNetwork, PolicyInfo]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: larger than {MAX_BYTES} bytes; this is no policy file")
        with safe_open(str(path), framework="np") as file:
            header = file.metadata() or {}
            names = list(file.keys())
            types = {name: file.get_slice(name).get_dtype() for name in names}
            tensors = {name: file.get_tensor(name) for name in names if types[name] == "F32"}
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not a readable safetensors file ({str(error)[:120]})") from error
    if header.get("format") != FORMAT or header.get("format_version") != FORMAT_VERSION:
        found = f"{shown(header.get('format'))} version {shown(header.get('format_version'))}"
        raise InputError(f"{path}: format is {found}; this version reads {FORMAT!r} version {FORMAT_VERSION!r}")
    missing = [name for name in STATED if name not in header]
    if missing:
        raise InputError(f"{path}: the header is incomplete ({missing[0]} is missing)")
    odd = [name for name, kind in types.items() if kind != "F32"]
    if odd:
        raise InputError(f"{path}: {shown(odd[0])} must hold float32 numbers, not {types[odd[0]]}")
    layout = parse_json(f"{path}: header: layout", header["layout"])
    if not isinstance(layout, dict):
        raise InputError(f"{path}: the layout is {shown(layout)}, not a JSON object")
    activation = header.get("activation", "relu")  # files of version 0.1.0 do not say
    if activation not in ACTIVATIONS:
        raise InputError(f"{path}: activation {shown(activation)} is not one of {', '.join(ACTIVATIONS)}")
    network = replace(_network(path, tensors, _sizes_of(path, header)), activation=activation)
    _check_range(path, network)
    return network, PolicyInfo(header["agent"], header["scenario"], layout, header["neomflex_jax_version"], sha256)


def _sizes_of(path: Path, header: Mapping[str, str]) -> dict[str, int]:
    for name in SIZES:
        if not re.fullmatch("[0-9]{1,9}", header[name]):
            raise InputError(f"{path}: the header is incomplete ({name} = {shown(header[name])} must be a number)")
    return {name: int(header[name]) for name in SIZES}


def _check_range(path: Path, network: ActorNetwork) -> None:
    """Refuse weights with which an observation could leave the range of float32, and an action be none."""
    scale = np.abs(network.observation_scale.astype(np.float64))
    reach = (LARGEST_OBSERVATION + np.abs(network.observation_mean.astype(np.float64))) * scale
    for kernel, bias in network.layers:
        if not (reach < np.finfo(np.float32).max).all():
            break
        reach = reach @ np.abs(kernel.astype(np.float64)) + np.abs(bias.astype(np.float64))
    if not (reach < np.finfo(np.float32).max).all():
        raise InputError(f"{path}: its weights are so large that actions overflow float32; train again")


def _network(path: Path, tensors: Mapping[str, np.ndarray], sizes: Mapping[str, int]) -> ActorNetwork:
    if not 1 <= sizes["n_layers"] <= 64:
        raise InputError(f"{path}: n_layers = {sizes['n_layers']} must lie in 1..64")
    names = {f"layer_{index}.{part}" for index in range(sizes["n_layers"]) for part in ("kernel", "bias")}
    names |= {"observation_mean", "observation_scale"}
    if set(tensors) != names:
        raise InputError(f"{path}: holds {shown(sorted(set(tensors) ^ names)[0])} too much or lacks it")
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise InputError(f"{path}: {name} must hold finite numbers (NaN: training diverged)")
    expected = sizes["observation_size"]
    shapes_fit = tensors["observation_mean"].shape == tensors["observation_scale"].shape == (expected,)
    layers = []
    for index in range(sizes["n_layers"]):
        kernel, bias = tensors[f"layer_{index}.kernel"], tensors[f"layer_{index}.bias"]
        shapes_fit &= kernel.ndim == 2 and kernel.shape[:1] == (expected,) and bias.shape == kernel.shape[1:]
        expected = int(bias.shape[0]) if bias.ndim == 1 else -1
        layers.append((kernel, bias))
    if not shapes_fit or expected != sizes["action_size"]:
        raise InputError(f"{path}: the layers' shapes do not lead from observation_size to action_size {dict(sizes)}")
    return ActorNetwork(tensors["observation_mean"], tensors["observation_scale"], tuple(layers))


def _sizes(layout: Mapping[str, object]) -> str:
    return ", ".join(
        f"{name} {values if isinstance(values, str) else shown(values)}" for name, values in layout.items()
    )
