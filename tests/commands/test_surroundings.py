"""What a user's shell may hold: another console encoding, a notebook's backend, checks and platforms of JAX."""

import io
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command_line import SMALL, neomflex

import neomflex_jax as nf
from neomflex_jax.agents.policy import NoControl
from neomflex_jax.commands.compilation_cache import use_compilation_cache
from neomflex_jax.environment import evaluation_environment
from neomflex_jax.evaluation import record
from neomflex_jax.jax_settings import nan_is_a_value, platform_is_there

ROOT = Path(nf.__file__).parents[1]


def in_a_shell(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own, whose environment holds these variables too."""
    shell = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(
        [sys.executable, "-c", code], env=shell, capture_output=True, text=True, encoding="utf-8", check=False
    )


def console_of(encoding: str, monkeypatch: pytest.MonkeyPatch) -> io.BytesIO:
    """Put standard output and error into an encoding, strict as Python opens them; gives the bytes that arrive."""
    arrived = io.BytesIO()
    stream = io.TextIOWrapper(arrived, encoding=encoding, errors="strict", write_through=True)
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    return arrived


@pytest.mark.parametrize(("encoding", "folder"), [("ascii", "Übung"), ("cp1252", "Łódź 電力"), ("utf-8", "b\udcffd")])
def test_names_that_the_console_cannot_show_end_no_command(encoding, folder, tmp_path, monkeypatch):
    arrived, place = console_of(encoding, monkeypatch), tmp_path / folder
    assert neomflex("feeder", "show", "case33bw", "--output", place / "grid.png") == 0
    assert (place / "grid.png").is_file()
    assert neomflex("feeder", "show", place / "none.json") == 2
    assert b"no such file" in arrived.getvalue()


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
@pytest.mark.parametrize("arguments", [("--help",), ("scenario", "list"), ("nosuch",)])
def test_help_tables_and_errors_fit_every_console(encoding, arguments, monkeypatch):
    arrived = console_of(encoding, monkeypatch)
    neomflex(*arguments)
    assert b"scenario" in arrived.getvalue()
    assert b"\\u" not in arrived.getvalue()


def test_a_scenario_is_refused_a_name_that_is_no_text_before_a_file_is_there(tmp_path, capsys):
    assert neomflex("scenario", "new", "--from", "case33bw", "--output", tmp_path / "t\udcff.toml") == 2
    assert "no text" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


DRAW = """
import os
from neomflex_jax.plots.drawing import Figure
from neomflex_jax.plots import save
figure = Figure()
figure.add_subplot().plot([1, 2])
save(figure, os.environ["IMAGE"])
import pandapower
print(os.environ["MPLBACKEND"])
"""


def test_figures_are_drawn_whatever_backend_a_notebook_names(tmp_path):
    backend = "module://matplotlib_inline.backend_inline"
    done = in_a_shell(DRAW, MPLBACKEND=backend, IMAGE=str(tmp_path / "x.png"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == backend  # the user's variable stays as it was
    assert (tmp_path / "x.png").stat().st_size > 1000


def test_only_one_module_imports_matplotlib_to_draw():
    for path in (ROOT / "neomflex_jax" / "plots").rglob("*.py"):
        lines = path.read_text(encoding="utf-8").splitlines()
        drawn_with = [line for line in lines if line.startswith(("import matplotlib", "from matplotlib"))]
        assert not drawn_with or path.name == "drawing.py"


def test_deliberate_nan_passes_the_check_for_nan(case33bw, three_days):
    """case33bw states no ratings, so that loadings are NaN; ten times its load has no solution, so that all is."""
    load_mw = np.stack([10.0 * case33bw.load_p_mw, case33bw.load_p_mw])
    with jax.debug_nans(True):
        assert nf.power_flow(case33bw, -load_mw, -0.3 * load_mw).converged.tolist() == [False, True]
        env = nf.make("neom33", profiles=str(three_days), day_order="file")
        state, _ = jax.jit(nf.AutoReset(env).reset)(jax.random.key(0))
        _, timestep = jax.jit(nf.AutoReset(env).step)(state, jnp.zeros((env.n_agents, env.action_size)))
        assert jnp.isfinite(timestep.reward).all()
        one_day = evaluation_environment(env, env.profiles.rows(np.arange(48)).scaled(10.0, 1.0))
        assert not record(one_day, NoControl(env.action_size), "idle").converged.all()
        with pytest.raises(FloatingPointError):  # the user's own NaN is still found
            jnp.log(-jnp.ones(()))


@pytest.mark.slow
def test_commands_pass_the_check_for_nan(three_days, tmp_path):
    with jax.debug_nans(True):
        run, days = tmp_path / "run", ("--profiles", three_days)
        assert neomflex("train", "--output", run, *SMALL, *days) == 0
        assert neomflex("evaluate", "--policies", run, *days, "--output", tmp_path / "e", "--baseline") == 0
        assert neomflex("validate", "--policies", run, *days, "--output", tmp_path / "v") in (0, 1)


def test_many_cases_on_threads_pass_the_check_for_nan(case33bw):
    many = np.broadcast_to(-case33bw.load_p_mw, (20_000, case33bw.n_bus))
    with jax.debug_nans(True):
        assert nf.power_flow(case33bw, many, 0.3 * many).converged.all()


def test_the_check_for_nan_is_off_within_alone():
    with jax.debug_nans(True):
        with nan_is_a_value():
            assert not jax.config.jax_debug_nans
        assert jax.config.jax_debug_nans


@pytest.mark.parametrize(("platform", "advice"), [("cuda", r"\.\[cuda12\].*\.\[cuda13\]"), ("tpu", r"jax\[tpu\]")])
def test_a_platform_that_is_not_there_is_one_sentence_with_what_to_install(platform, advice, monkeypatch):
    def fail() -> None:
        raise AssertionError

    monkeypatch.setattr(jax, "devices", fail)
    monkeypatch.setattr("neomflex_jax.jax_settings._wanted_platforms", lambda: platform)
    with pytest.raises(nf.InputError, match=rf"JAX_PLATFORMS={platform}.*{advice}"), platform_is_there():
        raise AssertionError


def test_a_fault_of_our_own_is_not_blamed_on_the_platform():
    with pytest.raises(AssertionError), platform_is_there():
        raise AssertionError


ASK_FOR_CUDA = """
import sys
import neomflex_jax as nf
from neomflex_jax.cli import main
for build in (lambda: nf.make("neom33"), lambda: nf.power_flow(nf.load_feeder("case33bw"), [0.0] * 33, [0.0] * 33)):
    try:
        build()
    except nf.InputError as error:
        print(error)
main(["train", "--output", "nowhere"])
"""


def test_commands_and_python_are_told_of_the_platform():
    done = in_a_shell(ASK_FOR_CUDA, JAX_PLATFORMS="cuda", NEOMFLEX_CACHE="off")
    assert done.returncode == 2
    told = "JAX cannot start the platform JAX_PLATFORMS=cuda"
    assert [line.count(told) for line in done.stdout.splitlines()] == [1, 1, 1]
    assert "Traceback" not in done.stderr


def test_no_home_and_a_cache_that_cannot_be_written_cost_the_cache_alone(monkeypatch, tmp_path):
    def no_home() -> Path:
        raise RuntimeError("could not determine home directory")

    monkeypatch.setenv("NEOMFLEX_CACHE", "")
    monkeypatch.setattr(Path, "home", no_home)
    assert use_compilation_cache() is None
    monkeypatch.undo()
    monkeypatch.setenv("NEOMFLEX_CACHE", str(tmp_path))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert use_compilation_cache() is None


@pytest.mark.parametrize(
    "command",
    [
        "feeder show case33bw --output {}/x.svg",
        "scenario new --from case33bw --output {}/my.toml",
        "train --output {}/run",
    ],
)
def test_where_nothing_can_be_written_is_one_sentence(command: str, tmp_path, capsys):
    (tmp_path / "file").write_text("")  # no folder: nothing can be made in it, whoever runs this
    assert neomflex(*command.format(tmp_path / "file").split(), "--quiet") == 2
    *_, last = capsys.readouterr().out.splitlines()
    assert last.startswith("error: ") and str(tmp_path / "file") in last and last.endswith("give another path")
