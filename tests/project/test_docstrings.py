"""What users call says what it takes, returns and raises: every public function, and every public method of a class."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator

import pytest

import neomflex_jax as nf
import validation
from neomflex_jax.agents.policy import Policy
from neomflex_jax.devices import Device
from neomflex_jax.evaluation import Trajectory
from neomflex_jax.powerflow.methods.method import Method
from neomflex_jax.yardsticks.controller import Controller
from validation.recompute.devices.twin import Store, Twin

PROTOCOLS = (Controller, Device, Method, Policy, Store, Trajectory, Twin)
OURS = ("neomflex_jax", "validation")
PUBLIC = [getattr(module, name) for module in (nf, validation) for name in module.__all__ if name != "__version__"]


def functions_of(public: object) -> Iterator[tuple[Callable[..., object], object]]:
    """The function, or the public methods that a class of this project defines, each with what defines it."""
    if not inspect.isclass(public):
        assert callable(public)
        yield inspect.unwrap(public), None
        return
    for kind in public.__mro__:
        for name, method in vars(kind).items():
            inner = inspect.unwrap(getattr(method, "__func__", method))
            public_name = name == "__call__" or not name.startswith("_")
            if public_name and inspect.isfunction(inner) and inner.__module__.startswith(OURS):
                yield inner, kind


FUNCTIONS = {
    f"{function.__module__}.{function.__qualname__}": (function, kind)
    for public in (*PUBLIC, *PROTOCOLS)
    for function, kind in functions_of(public)
}


def sections_of(text: str) -> dict[str, str]:
    """The sections of a docstring in NumPy's form, by their titles."""
    parts = re.split(r"^([A-Z][a-z]+)\n-+$", inspect.cleandoc(text), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("public", [*PUBLIC, *PROTOCOLS], ids=lambda public: public.__qualname__)
def test_what_is_public_has_a_docstring_of_its_own(public: object) -> None:
    assert public.__doc__
    assert not public.__doc__.startswith(f"{getattr(public, '__name__', '')}(")  # a dataclass's, made of its fields


def described(text: str | None) -> set[str]:
    """Names that a docstring's section of parameters describes."""
    lines = re.findall(r"^[\w*, ]+$", sections_of(text or "").get("Parameters", ""), flags=re.MULTILINE)
    return {name.strip().lstrip("*") for line in lines for name in line.split(",")}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_parameters_results_and_errors_are_described(name: str) -> None:
    function, kind = FUNCTIONS[name]
    sections, of_class = sections_of(function.__doc__ or ""), described(kind.__doc__)  # what its methods share
    parameters = set(inspect.signature(function).parameters) - {"self", "cls"}
    assert parameters <= described(function.__doc__) | of_class
    result = function.__annotations__.get("return")
    if parameters and result not in {"None", None} | of_class:
        assert {"Returns", "Yields"} & set(sections)
    if re.search(r"^\s+raise (?!NotImplemented)", inspect.getsource(function), flags=re.MULTILINE):
        assert "Raises" in sections
