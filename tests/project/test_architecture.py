"""What may import what, what importing the package must not do, and what the sources must not contain."""

import ast
import re
import statistics
import subprocess
import sys
from functools import cache
from pathlib import Path

from neomflex_jax.devices import Kind, registered_kinds

ROOT = Path(__file__).parents[2]
PACKAGES = ("neomflex_jax", "validation")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

# The lowest first; a room may import from its own floor and from those below.
FLOORS = (
    {"errors", "resources", "_version"},
    {
        *("fields", "files", "folders", "interquartile", "jax_settings", "matplotlib_import", "native"),
        *("free_memory", "loose_types", "one_line", "packing", "pages", "users_modules"),
    },
    {"grid", "devices", "profiles"},
    {"powerflow", "scenario"},
    {"environment", "agents"},
    {"yardsticks"},
    {"training", "evaluation"},
    {"plots", "adapters", "validation"},
    {"cli", "commands", "__main__"},
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def name_of(path: Path) -> str:
    """Dotted name of a module."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {name_of(path): path for path in MODULES}


@cache
def source_of(name: str) -> str:
    """Text of a module."""
    return NAMES[name].read_text(encoding="utf-8")


@cache
def nodes_of(name: str) -> list[ast.AST]:
    """All nodes of a module's syntax tree, the module itself first."""
    return list(ast.walk(ast.parse(source_of(name))))


def room_of(name: str) -> str:
    """Room of a module; empty for the package itself, which may import everything."""
    parts = name.split(".")
    return "validation" if parts[0] == "validation" else parts[1] if len(parts) > 1 else ""


@cache
def imports_of(name: str) -> set[str]:
    """Dotted names of the modules of this project that a module imports, inside functions and for types alone too."""
    package = name if NAMES[name].name == "__init__.py" else name.rpartition(".")[0]
    found: set[str] = set()
    for node in nodes_of(name):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            found |= {f"{base}.{alias.name}" if f"{base}.{alias.name}" in NAMES else base for alias in node.names}
    return {imported for imported in found if imported.split(".")[0] in PACKAGES}


VALIDATION = [name for name in NAMES if room_of(name) == "validation"]


def test_every_room_has_a_floor() -> None:
    assert {room_of(name) for name in NAMES} - {""} <= set(FLOOR)


def test_no_import_goes_upwards() -> None:
    for name in NAMES:
        own = room_of(name)
        for imported in imports_of(name):
            other = room_of(imported)
            if other and own:
                assert FLOOR[other] <= FLOOR[own], f"{name} imports {imported}"
            elif own:  # the package itself holds names of every floor; only its version is for all
                assert FLOOR[own] >= FLOOR["plots"], f"{name} imports {imported}"


def rooms_imported(name: str) -> set[str]:
    """Rooms that a module imports from."""
    return {room_of(imported) for imported in imports_of(name)}


def test_agents_know_no_grid_device_power_flow_or_environment() -> None:
    forbidden = {"grid", "devices", "powerflow", "profiles", "scenario", "environment"}
    agents = [name for name in NAMES if room_of(name) == "agents"]
    assert agents
    assert not {name for name in agents if rooms_imported(name) & forbidden}


def test_validation_knows_no_learner() -> None:
    assert VALIDATION
    assert not {name for name in VALIDATION if rooms_imported(name) & {"agents", "training", "plots"}}


# Within validation, the lowest first: a record by itself, the referees' answers to it, how far both are apart, the same
# with the policy acting, the verdict, and the report on it. What runs all of them lies beside the rooms, above.
VALIDATION_FLOORS = ("recompute", "referee", "errors", "closed_loop", "verdict", "report", "")


def validation_floor(name: str) -> int:
    """Floor of a module of validation; lazy and typing-only imports count too."""
    parts = name.split(".")
    return VALIDATION_FLOORS.index(parts[1] if len(parts) > 1 and parts[1] in VALIDATION_FLOORS else "")


def test_no_import_within_validation_goes_upwards() -> None:
    for name in VALIDATION:
        for imported in imports_of(name) & set(VALIDATION):
            assert validation_floor(imported) <= validation_floor(name), f"{name} imports {imported}"


KINDS_OF_DEVICES = re.compile(
    r"batter|\bpv_|inverter|flexible|load_curtailed|load_owed|\bev_|tap_position|capacitor_", re.IGNORECASE
)
SPEAK_OF_DEVICES = {
    "validation.report.markdown",  # labels of the evaluation's figures, whatever they are of
    "validation.powergym",  # another program's task, which is of certain devices
}


def test_the_referee_names_kinds_of_devices_in_their_twins_alone() -> None:
    for name in VALIDATION:
        named = KINDS_OF_DEVICES.findall(source_of(name))
        twin = name.startswith("validation.recompute.devices.") and name != "validation.recompute.devices.twin"
        assert bool(named) == (twin or name in SPEAK_OF_DEVICES), f"{name} names {named}"


def words_of(kind: Kind) -> set[str]:
    """What names a kind of device in a source."""
    columns = {name for recorded in kind.recorded for name in (recorded.name, recorded.before) if name}
    return {kind.__name__, kind.table, kind.noun, *(control.name for control in kind.controls), *columns}


PLANNING = {f"neomflex_jax.yardsticks.{name}" for name in ("energies", "descent", "play_ahead", "model_predictive")}
RECORDING = {f"neomflex_jax.evaluation.{name}" for name in ("rollout", "trajectory", "trajectory_layout", "tables")}
WALKS_OVER_KINDS = [name for name in NAMES if name.startswith("neomflex_jax.environment")]
WALKS_OVER_KINDS += sorted(PLANNING | RECORDING | {"neomflex_jax.yardsticks.perfect_foresight"})
WALKS_OVER_KINDS += ["neomflex_jax.evaluation.operation"]
DRAWING = ("one_line", "territories", "symbols", "map_panel", "device_lines", "dispatch", "soc", "reactive_power")
WALKS_OVER_KINDS += [f"neomflex_jax.plots.{name}" for name in DRAWING]
FIELD_OF_REPORTS = "load_curtailed_mwh"  # of schema 4; a kind's record is called almost the same


def test_who_walks_over_kinds_of_devices_names_none() -> None:
    words = {word for kind in registered_kinds() for word in words_of(kind)}
    for name in WALKS_OVER_KINDS:
        source = source_of(name).lower().replace(FIELD_OF_REPORTS, "")
        named = {word for word in words if word.lower() in source}
        assert not named, f"{name} names {named}"


def test_no_part_of_a_step_knows_the_environment() -> None:
    above = {f"neomflex_jax.environment.{module}" for module in ("environment", "make", "auto_reset")}
    parts = {name for name in NAMES if ".environment." in name} - above
    assert parts
    assert not {name for name in parts if imports_of(name) & (above | {"neomflex_jax.environment"})}


def test_only_validation_and_one_reader_know_pandapower() -> None:
    allowed = {"neomflex_jax.grid.from_pandapower", "validation"}
    for name in NAMES:
        imported = {alias.name for node in nodes_of(name) if isinstance(node, ast.Import) for alias in node.names}
        imported |= {node.module or "" for node in nodes_of(name) if isinstance(node, ast.ImportFrom)}
        if any(module.split(".")[0] == "pandapower" for module in imported):
            assert any(name == place or name.startswith(f"{place}.") for place in allowed), name


def test_no_import_closes_a_circle_be_it_lazy_or_for_types_alone() -> None:
    graph = {name: imports_of(name) & set(NAMES) - {name} for name in NAMES}
    finished: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail[trail.index(name) :], name])
        if name not in finished:
            for imported in sorted(graph[name]):
                visit(imported, (*trail, name))
            finished.add(name)

    for name in graph:
        visit(name, ())


def test_importing_the_package_does_no_work() -> None:
    program = """
import sys, logging
handlers = list(logging.getLogger().handlers)
import jax
before = dict(jax.config.values)
import neomflex_jax.cli
from jax._src import xla_bridge
loaded = {name.split(".")[0] for name in sys.modules}
heavy = {"pandapower", "matplotlib", "gymnasium", "pettingzoo", "jaxmarl", "gymnax", "torch", "llvmlite", "numba"}
assert not loaded & heavy, loaded
assert not jax.config.jax_enable_x64
assert {name: jax.config.values[name] for name in before} == before
assert not xla_bridge._backends, xla_bridge._backends
assert logging.getLogger().handlers == handlers
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_public_name_exists() -> None:
    import neomflex_jax

    assert sorted(neomflex_jax.__all__) == sorted(set(neomflex_jax.__all__))
    for name in neomflex_jax.__all__:
        assert getattr(neomflex_jax, name) is not None


FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "globals"}


def dangers_of(node: ast.AST) -> set[str]:
    """What of a node is dangerous with a user's file, or changes the whole process."""
    match node:
        case ast.Import():
            return {alias.name.split(".")[0] for alias in node.names} & FORBIDDEN_MODULES
        case ast.ImportFrom():
            return {(node.module or "").split(".")[0], *(alias.name for alias in node.names)} & (
                FORBIDDEN_MODULES | {"pmap"}
            )
        case ast.Call(func=ast.Name(id=name)) if name in FORBIDDEN_CALLS:
            return {name}
        case ast.keyword(arg="allow_pickle", value=value):
            return set() if isinstance(value, ast.Constant) and value.value is False else {"allow_pickle"}
        case ast.Attribute(attr="pmap" | "read_pickle" | "to_pickle" as name):
            return {name}
        case ast.Constant(value="jax_enable_x64"):
            return {"jax_enable_x64"}
    return set()


def test_sources_hold_nothing_dangerous_or_process_wide() -> None:
    for name in NAMES:
        found = {danger for node in nodes_of(name) for danger in dangers_of(node)}
        assert not found, f"{name}: {found}"


TESTS = sorted((ROOT / "tests").rglob("*.py"))


def length_of(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_no_module_is_longer_than_350_lines() -> None:
    assert not {path.name: length_of(path) for path in [*MODULES, *TESTS] if length_of(path) > 350}


def test_half_of_the_modules_are_shorter_than_150_lines() -> None:
    assert statistics.median(length_of(path) for path in MODULES) < 150


def test_every_module_says_what_it_is_for() -> None:
    assert not {name for name in NAMES if source_of(name) and not ast.get_docstring(nodes_of(name)[0])}


READS = {"json.loads", "json.load", "np.load", "tomllib.loads", "tomllib.load", "csv.reader", "csv.DictReader"}
READS |= {"pd.read_csv", "pd.read_json", "zipfile.ZipFile", "np.genfromtxt", "np.loadtxt"}
READERS_OF_FORMATS = {
    "neomflex_jax.files.json_values": {"json.loads"},
    "neomflex_jax.files.stored_arrays": {"zipfile.ZipFile"},
    "neomflex_jax.files.toml_lines": {"tomllib.loads"},
    "neomflex_jax.files.tables": {"csv.reader"},
    "neomflex_jax.files.same_bytes": {"json.loads", "zipfile.ZipFile"},  # bytes that were made there, and writing
    "neomflex_jax.training.origin": {"json.loads"},  # of what was made there
    "neomflex_jax.commands.evaluate": {"pd.read_csv"},  # its own table, just written
}


def test_every_format_has_one_reader() -> None:
    """What one reader refuses, a second would take: files are bounded and checked in one place a format."""
    last_words = {read.rpartition(".")[2] for read in READS}
    for name in NAMES:
        attributes = [node for node in nodes_of(name) if isinstance(node, ast.Attribute)]
        used = {ast.unparse(node) for node in attributes if node.attr in last_words} & READS
        assert used <= READERS_OF_FORMATS.get(name, set()), f"{name} reads by {used}"
        assert not any(node.attr == "read_text" for node in attributes), f"{name} reads text by itself"
