"""Shapes of public signatures, checked in the calls that tests make, and in no call that a user makes.

Functions whose annotations state shapes (`Float[Array, "n_agents action_size"]`) are wrapped once all tests are
collected. A call that raises is left alone, for bad input is refused in words by the function itself; in one that
returns, all arguments and the result must agree on what `n_agents` is. Fields of dataclasses and named tuples with
shapes count too, those of a pytree with the call's sizes, those of a record on the host with its own; None is a field
that was not asked for. A function is believed after its first `CALLS` calls in a
process, or the checks would take a fifth of the suite's time.
"""

import dataclasses
import functools
import inspect
import itertools
import sys
import types
import typing
from abc import ABC
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
from jaxtyping import AbstractArray, jaxtyped

ROOT = Path(__file__).parents[2]
CALLS = 50
JITTED = type(jax.jit(len))
CHECKED: dict[str, Callable[..., Any]] = {}  # by module and qualified name, once wrapped
MAY_STATE_SHAPE: dict[Any, bool] = {}  # by annotation
KINDS = ("Bool", "Float", "Int", "Integer", "Key", "Num", "Shaped", "UInt8")
SHAPED = {f"{kind}[" for kind in KINDS}  # in annotations; classes too


def check_shapes() -> None:
    """Wrap what states shapes in all modules of this project, wherever it is bound by name."""
    modules = [module for module in list(sys.modules.values()) if _is_ours(module)]
    SHAPED.update(kind.__name__ for module in modules for kind in vars(module).values() if _has_shaped_fields(kind))
    for module in modules:
        for name, value in list(vars(module).items()):
            if isinstance(value, FunctionType):
                setattr(module, name, _checked(value))
            elif inspect.isclass(value) and value.__module__ == module.__name__:
                _check_methods(value)


def _is_ours(module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and ROOT in Path(file).parents and ".venv" not in file


def _check_methods(kind: type) -> None:
    for name, value in list(vars(kind).items()):
        if name == "__init__" and dataclasses.is_dataclass(kind):
            continue  # JAX makes dataclasses with anything in the place of arrays
        if isinstance(value, FunctionType | JITTED):
            setattr(kind, name, _checked(value))
        elif isinstance(value, staticmethod | classmethod):
            setattr(kind, name, type(value)(_checked(value.__func__)))
        elif isinstance(value, property) and value.fget is not None:
            setattr(kind, name, value.getter(_checked(value.fget)))
        elif isinstance(value, functools.cached_property):
            value.func = _checked(value.func)


def _checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with a check behind it, the same one at every call; itself if it states no shape."""
    inner = inspect.unwrap(function)
    if not (_ours(inner) and _shaped(inner)):
        return function
    name = f"{inner.__module__}.{inner.__qualname__}"
    if name not in CHECKED or CHECKED[name] is not function:
        CHECKED.setdefault(name, with_check(function))
    return CHECKED[name]


def _has_shaped_fields(kind: object) -> bool:
    return inspect.isclass(kind) and _ours(kind) and _shaped(kind) and not issubclass(kind, ABC)


def _ours(stating: Any) -> bool:
    return str(getattr(stating, "__module__", "")).split(".")[0] in ("neomflex_jax", "validation")


def _shaped(stating: Any) -> bool:
    texts = [text for text in inspect.get_annotations(stating).values() if isinstance(text, str)]
    return any(shape in text for text in texts for shape in SHAPED)


def with_check(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, and an `AssertionError` where what it took and returned does not fit its annotations."""
    inner, signature, calls = inspect.unwrap(function), inspect.signature(function), itertools.count()

    @functools.wraps(function)
    def call(*args: Any, **keywords: Any) -> Any:
        result = function(*args, **keywords)
        if next(calls) >= CALLS:
            return result
        values = signature.bind(*args, **keywords).arguments | {"return": result}
        hints = hints_of(inner)
        with jaxtyped("context"):  # within it a name stands for one size
            for name, value in values.items():
                wrong = misfit(value, hints.get(name))
                assert wrong is None, f"{inner.__qualname__}: {name}{wrong}"
        return result

    return call


@functools.cache
def hints_of(stating: Any) -> dict[str, Any]:
    """Annotations of a function or class by name; what is only there for the type checker is not among them."""
    module = vars(sys.modules[stating.__module__])
    known = vars(jaxtyping) | module | getattr(stating, "__globals__", {})
    hints = {}
    for name, text in inspect.get_annotations(stating).items():
        try:
            hints[name] = eval(text, dict(known)) if isinstance(text, str) else text  # our own sources' annotations
        except (NameError, TypeError):
            continue
    return hints


def misfit(value: Any, hint: Any) -> str | None:
    """What of a value does not fit its annotation, after the value's name in a sentence; None if all of it does."""
    if not _may_state_shape(hint):
        return None
    if _states_shape(hint):
        on_host = isinstance(value, np.ndarray | np.generic | list)  # as good as JAX's: which one it is, mypy checks
        as_array = np.asarray if hint.array_type is np.ndarray else jnp.asarray
        fits = isinstance(value, hint) or (on_host and isinstance(as_array(value), hint))
        return None if fits else f" is {_shown(value)}, and not {hint.__name__}"
    parts = typing.get_args(hint)
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        wrong = [misfit(value, part) for part in parts if _may_be(value, part)]
        return None if None in wrong or not any(map(_states_shape, parts)) else (wrong or [f" is {_shown(value)}"])[0]
    if parts and isinstance(value, tuple) and typing.get_origin(hint) is tuple:
        each = [parts[0]] * len(value) if parts[-1] is Ellipsis else parts
        return _first({f"[{i}]": misfit(one, part) for i, (one, part) in enumerate(zip(value, each, strict=True))})
    if parts and isinstance(value, Mapping):
        return _first({f"[{name!r}]": misfit(one, parts[-1]) for name, one in value.items()})
    if parts and isinstance(value, Sequence) and not isinstance(value, str):
        return _first({f"[{i}]": misfit(one, parts[0]) for i, one in enumerate(value)})
    kind = _kind_of(hint)
    if _has_fields(kind) and isinstance(value, kind):
        by_itself = jax.tree_util.all_leaves([value])  # no pytree: a call may take two records of different days
        with jaxtyped("context") if by_itself else nullcontext():
            return _misfit_of_fields(value, hints_of(kind))
    return None


def _misfit_of_fields(value: Any, hints: Mapping[str, Any]) -> str | None:
    own = {name: getattr(value, name) for name in hints if hasattr(value, name)}
    return _first({f".{name}": misfit(one, hints[name]) for name, one in own.items() if one is not None})


def _may_state_shape(hint: Any) -> bool:
    """Whether an annotation, a part of it or a field of its states a shape."""
    if hint not in MAY_STATE_SHAPE:
        MAY_STATE_SHAPE[hint] = False  # while its own fields are looked at, which may have it again
        kind = _kind_of(hint)
        parts = (*typing.get_args(hint), *(hints_of(kind).values() if _has_fields(kind) else ()))
        MAY_STATE_SHAPE[hint] = _states_shape(hint) or any(
            _may_state_shape(part)
            for part in parts
            if not isinstance(part, list)  # arguments of a callable
        )
    return MAY_STATE_SHAPE[hint]


def _kind_of(hint: Any) -> Any:
    """A generic's class, or the annotation itself."""
    return typing.get_origin(hint) or hint


def _has_fields(kind: Any) -> bool:
    return inspect.isclass(kind) and (dataclasses.is_dataclass(kind) or hasattr(kind, "_fields"))


def _may_be(value: Any, part: Any) -> bool:
    """Whether a part of a union says anything of the value."""
    vague = not inspect.isclass(part) or part is Any or getattr(part, "_is_protocol", False)
    return _states_shape(part) or vague or isinstance(value, part)


def _states_shape(part: Any) -> bool:
    return inspect.isclass(part) and issubclass(part, AbstractArray)


def _first(found: dict[str, str | None]) -> str | None:
    return next((f"{name}{wrong}" for name, wrong in found.items() if wrong is not None), None)


def _shown(value: Any) -> str:
    return f"{value.dtype}{list(value.shape)}" if hasattr(value, "shape") else f"a {type(value).__name__}"
