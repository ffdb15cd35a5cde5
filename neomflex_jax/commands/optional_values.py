"""Types of options: `MayOmit` for one that may be left out, of which help shows no None; `Several` values in a row."""

from __future__ import annotations

import dataclasses
from functools import reduce
from operator import or_
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args

import tyro
from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    UnsupportedTypeAnnotationError,
)

NOTHING = "None"  # may be written too
OPTIONAL = "(optional)"

T = TypeVar("T")
MayOmit = Annotated[T | None, tyro.conf.arg(help_behavior_hint=OPTIONAL)]
Several = tyro.conf.Positional[Annotated[tuple[T, ...], tyro.conf.arg(help_behavior_hint="(one or more)")]]

# Choices that help lists and that what reads them checks: its refusal says more than the parser's would.
Algorithm = Annotated[str, tyro.conf.arg(metavar="{sac,gradient}")]
POWER_FLOWS = "{ac,calibrated,lindistflow,dc,newton}"
PowerFlowName = Annotated[str | None, tyro.conf.arg(help_behavior_hint=OPTIONAL, metavar=POWER_FLOWS)]
PowerFlowNames = Annotated[
    tuple[str, ...] | None, tyro.conf.arg(help_behavior_hint=OPTIONAL, metavar=f"[{POWER_FLOWS} ...]")
]

REGISTRY = ConstructorRegistry()


@REGISTRY.primitive_rule
def optional_rule(
    type_info: PrimitiveTypeInfo,
) -> PrimitiveConstructorSpec[Any] | UnsupportedTypeAnnotationError | None:
    """Read ``X | None`` as X is read, and shown; leaves every other type to tyro."""
    types = get_args(type_info.type)
    if type_info.type_origin not in (Union, UnionType) or type(None) not in types:
        return None
    given: Any = reduce(or_, (each for each in types if each is not type(None)))
    spec = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(given, type_info.markers))
    if isinstance(spec, UnsupportedTypeAnnotationError):
        return spec
    return dataclasses.replace(
        spec,
        instance_from_str=lambda texts: None if texts == [NOTHING] else spec.instance_from_str(texts),
        is_instance=lambda value: value is None or spec.is_instance(value),
        str_from_instance=lambda value: [NOTHING] if value is None else spec.str_from_instance(value),
        choices=None if spec.choices is None else (*spec.choices, NOTHING),
    )
