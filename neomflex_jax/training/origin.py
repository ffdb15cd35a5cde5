"""Where a checkpoint comes from, and whether a run may go on from it: bit for bit only with what made it.

Versions that differ in the patch number, or another kind of device, load and mean the same, but may round otherwise:
that is a warning. A change of the minor version may have changed what the arrays mean: that is refused.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping

import jax

from neomflex_jax.errors import InputError
from neomflex_jax.training.options import TrainOptions, config_of

STATE, STATE_FORMAT = "state_format", 2  # counts up whenever the arrays of a training's state are others
VERSIONS = ("neomflex_jax", "jax")
CHANGEABLE = ("total_steps", "max_seconds", "compared_days")  # a resumed run may have others
DEVICE = "device"


def origin_of(options: TrainOptions) -> dict[str, object]:
    """Return what a checkpoint of these options says of itself, as it is read back from JSON."""
    config = {name: value for name, value in config_of(options).items() if name not in CHANGEABLE}
    return json.loads(json.dumps({**config, STATE: STATE_FORMAT, "processes": jax.process_count()}))


def digest_of(options: TrainOptions) -> str:
    """SHA-256 of the options."""
    return hashlib.sha256(json.dumps(dataclasses.asdict(options), sort_keys=True).encode()).hexdigest()


def check_origin(stored: Mapping[str, object], current: Mapping[str, object], where: str) -> None:
    """Compare where a checkpoint comes from with the run that is to go on from it.

    Raises
    ------
    InputError
        If another version, scenario, setting or number of devices made it; names both.
    """
    for name in VERSIONS:
        _check_version(name, str(stored.get(name)), str(current[name]), where)
    if stored.get(STATE) != current.get(STATE):
        raise InputError(
            f"{where}: made by a version of neomflex_jax whose trainings were saved in another form; go on with that "
            "version, or train anew with --overwrite, from its policies if you like: --initial-policies"
        )
    there, here = dict(_flat(stored)), dict(_flat(current))
    for name in sorted(there.keys() | here.keys(), key=lambda name: name.endswith("_sha256")):
        if name in VERSIONS or there.get(name) == here.get(name):
            continue
        both = f"{where}: made with {name} = {there.get(name)!r}, and this run has {here.get(name)!r}"
        if name != DEVICE and not (name == "devices" and current.get("n_seeds", 1) != 1):  # seeds are whole on each
            raise InputError(f"{both}; put it back, or train anew with --overwrite")
        warnings.warn(f"{both}; numbers may round otherwise from here on", stacklevel=3)


def _check_version(name: str, stored: str, current: str, where: str) -> None:
    if stored == current:
        return
    both = f"{where}: made with {name} {stored}, and this is {name} {current}"
    if stored.split(".")[:2] != current.split(".")[:2]:
        raise InputError(f"{both}; install {name} {stored} to go on, or train anew with --overwrite")
    warnings.warn(f"{both}; numbers may round otherwise from here on", stacklevel=4)


def _flat(values: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
