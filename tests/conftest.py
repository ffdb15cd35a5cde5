"""Fixtures that several test files share; what compiles is made once a session or once a module."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np
import pytest
from command_line import SMALL, neomflex
from compiled_programs import compile_quickly, folder_of_all, forget_if_many, keep_in, keep_what_is_alive
from empty_tables import copy_empty_tables
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers
from lowering_contexts import share_contexts
from shapes import check_shapes

import neomflex_jax as nf

os.environ["NEOMFLEX_CACHE"] = "off"  # commands under test write nothing into the user's folders

# Examples are the same on every machine, however slow; `--hypothesis-profile search` draws others every time.
settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.register_profile("suite", settings.get_profile("search"), derandomize=True)
settings.load_profile("suite")
# Hypothesis also draws numbers that it reads in loaded modules: other examples with every choice of tests and workers.
providers._get_local_constants = lambda: providers._local_constants

GOLDEN = Path(__file__).parent / "golden"
ORIGINAL = GOLDEN / "original_environment"
LONGEST_ROOMS = (
    *("powerflow", "environment", "training", "validation", "commands", "yardsticks", "agents", "devices"),
    *("adapters", "project"),
)


def pytest_configure(config: pytest.Config) -> None:
    """Have the workers share what they compile, in a folder that goes with the process that started them."""
    folder = folder_of_all() if hasattr(config, "workerinput") else None
    if folder is None:
        folder = Path(tempfile.mkdtemp(prefix="neomflex_compiled_"))
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    keep_in(folder)
    share_contexts()
    if config.option.markexpr != "slow":  # those alone run for long, and are compiled as for users
        compile_quickly()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest rooms: workers that share the files end together, and each compiles a room once."""
    order = {room: place for place, room in enumerate(LONGEST_ROOMS)}
    items.sort(key=lambda item: order.get(item.path.parent.name, len(order)))


def pytest_collection_finish() -> None:
    """Once tests have loaded what they use: check the shapes that public signatures state, make nets quickly."""
    check_shapes()
    copy_empty_tables()
    keep_what_is_alive()


@pytest.fixture(scope="module", autouse=True)
def _room_to_compile() -> Iterator[None]:
    yield
    keep_what_is_alive()
    forget_if_many()


@pytest.fixture
def float64() -> Iterator[None]:
    """Run the test in double precision."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def double_precision() -> Iterator[None]:
    """Run the module in double precision; the fixture `float64` is a test's own."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session")
def case33bw() -> nf.Feeder:
    """Baran and Wu's 33 buses."""
    return nf.load_feeder("case33bw")


@pytest.fixture
def feeder_folder(tmp_path: Path) -> Callable[..., Path]:
    """Write a feeder folder: a tree of four buses and one open tie, in which a test replaces what it wants broken."""

    def write(
        buses: str = "bus,vn_kv,p_mw,q_mvar\n10,12.66,0,0\n20,12.66,0.5,0.2\n30,12.66,0.4,0.1\n40,12.66,0.3,-0.1\n",
        branches: str = (
            "from_bus,to_bus,r_ohm,x_ohm,in_service\n10,20,0.5,0.4,1\n20,30,0.6,0.3,1\n20,40,0.7,0.2,1\n30,40,1,1,0\n"
        ),
        settings: str | None = None,
    ) -> Path:
        folder = tmp_path / "my_feeder"
        folder.mkdir(exist_ok=True)
        (folder / "buses.csv").write_text(buses, encoding="utf-8")
        (folder / "branches.csv").write_text(branches, encoding="utf-8")
        if settings is not None:
            (folder / "feeder.toml").write_text(settings, encoding="utf-8")
        return folder

    return write


@pytest.fixture(scope="session")
def three_days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three mild days of profiles with a sun that reaches full power."""
    hours = np.arange(3 * 48) / 2.0
    demand = 0.6 + 0.3 * np.sin(hours / 24.0 * 2.0 * np.pi - 1.0) + 0.02 * (hours // 24)
    solar = np.clip(1.2 * np.sin((hours % 24 - 6.0) / 12.0 * np.pi), 0.0, 1.0)
    path = tmp_path_factory.mktemp("profiles") / "days.csv"
    rows = "\n".join(f"{d:.6f},{s:.6f}" for d, s in zip(demand, solar, strict=True))
    path.write_text(f"Demand,Solar\n{rows}\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train SAC on the default scenario for a moment, by command; a test that changes the folder copies it first."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert neomflex("train", "--output", folder, *SMALL) == 0
    return folder
