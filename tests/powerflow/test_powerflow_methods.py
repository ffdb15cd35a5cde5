"""Methods are objects of one contract, looked up by name in one place."""

import ast
import re
from pathlib import Path

import jax
import pytest

import neomflex_jax as nf
from neomflex_jax.powerflow import CHEAPEST_FIRST, METHODS, bind, method_named

PACKAGE = Path(nf.__file__).parent
ROOM = PACKAGE / "powerflow"
DOOR = "neomflex_jax.powerflow.sweeps.door"


def test_every_method_is_found_by_its_name() -> None:
    assert [method_named(kind.name) for kind in CHEAPEST_FIRST] == list(CHEAPEST_FIRST)
    assert tuple(sorted(kind.name for kind in CHEAPEST_FIRST)) == METHODS
    with pytest.raises(nf.InputError, match=r"'gauss'; known: ac, calibrated, dc, lindistflow, newton"):
        method_named("gauss")


@pytest.mark.parametrize("name", METHODS)
def test_a_bound_method_is_a_pytree_that_comes_back_whole(case33bw: nf.Feeder, name: str) -> None:
    bound = bind(case33bw, name)
    leaves, structure = jax.tree.flatten(bound)
    again = jax.tree.unflatten(structure, leaves)
    assert (again.method, type(again.model)) == (name, method_named(name))
    assert jax.tree.structure(again) == jax.tree.structure(bind(case33bw, name)) == structure  # compiled once


def test_no_method_is_taken_for_another(case33bw: nf.Feeder) -> None:
    """JAX does not compare the types of dataclasses: now and then `dc` answered for `lindistflow`."""
    for network in ("dense", "tree"):
        structures = [jax.tree.structure(bind(case33bw, name, network=network)) for name in METHODS]
        assert all(one != other for i, one in enumerate(structures) for other in structures[:i])


def test_options_are_part_of_what_is_compiled(case33bw: nf.Feeder) -> None:
    loose, tight = (bind(case33bw, "ac", nf.AcConfig(tolerance_pu=tolerance)) for tolerance in (1e-4, 1e-6))
    assert jax.tree.structure(loose) != jax.tree.structure(tight)


def test_no_code_of_the_room_branches_on_a_methods_name() -> None:
    for path in ROOM.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare):
                values = {part.value for part in ast.walk(node) if isinstance(part, ast.Constant)}
                assert not values & set(METHODS), f"{path.name}, line {node.lineno}"


def test_machine_code_is_reached_through_its_door_alone() -> None:
    through_the_door = set()
    for path in PACKAGE.rglob("*.py"):
        if path.parent in (ROOM / "sweeps", PACKAGE / "native"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            reached = [name for name in names if re.search(r"neomflex_jax\.(native|powerflow\.sweeps)\b", name)]
            assert all(name.startswith(f"{DOOR}.") for name in reached), f"{path.name}: {reached}"
            through_the_door |= {path.stem} if reached else set()
    assert {"ac", "calibrated"} <= through_the_door
