"""What a command takes: its options, and the commands that it has inside."""

import dataclasses
import re
import typing
from typing import Any

RENAMED = {
    "source": "--from",
    "modules": "--import",
    "constraints": "--constraint",
}  # unlike their fields


def options_of(command: Any) -> set[str]:
    """Options of a command's class, of its groups with their prefix."""
    options: set[str] = set()
    hints = typing.get_type_hints(command)
    for field in dataclasses.fields(command):
        kinds = [
            kind for kind in (hints[field.name], *typing.get_args(hints[field.name])) if dataclasses.is_dataclass(kind)
        ]
        name = field.name.replace("_", "-")
        options.add(RENAMED.get(name, f"--{name}"))
        for kind in kinds:
            inner = {option[2:] for option in options_of(kind)}
            options |= (
                {f"--{option}" for option in inner}
                if field.name in ("what", "answer")
                else {f"--{name}.{o}" for o in inner}
            )
    return options


def parts_of(command: Any) -> dict[str, Any]:
    """Subcommands of a command by their name."""
    what = typing.get_type_hints(command).get("what")
    kinds = [kind for kind in typing.get_args(what) if dataclasses.is_dataclass(kind)]
    return {re.match(r"[A-Z][a-z]+", kind.__name__)[0].lower(): kind for kind in kinds}  # type: ignore[index]
