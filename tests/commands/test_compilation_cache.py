"""Where compiled programs are kept, and that a second start reads them and says nothing about it."""

import os
import subprocess
import sys
from pathlib import Path

import jaxlib.version
import pytest

from neomflex_jax.commands.compilation_cache import QUIET_SINCE, cache_folder

HOME = Path("users_home")  # any folder
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("environment", "platform", "expected"),
    [
        ({}, "linux", HOME / ".cache/neomflex_jax/compiled"),
        ({"XDG_CACHE_HOME": "/fast"}, "linux", Path("/fast/neomflex_jax/compiled")),
        ({}, "darwin", HOME / "Library/Caches/neomflex_jax/compiled"),
        ({"LOCALAPPDATA": "/local"}, "win32", Path("/local/neomflex_jax/compiled")),
        ({"NEOMFLEX_CACHE": "/mine", "XDG_CACHE_HOME": "/fast"}, "linux", Path("/mine")),
        ({"NEOMFLEX_CACHE": "OFF"}, "linux", None),
    ],
)
def test_the_folder_is_where_the_platform_keeps_caches(environment, platform, expected):
    assert cache_folder(environment, HOME, platform) == expected


COUNTING = """
import sys, jax, jax.numpy as jnp
from neomflex_jax.commands.compilation_cache import use_compilation_cache
folder = use_compilation_cache()
hits = []
jax.monitoring.register_event_listener(lambda name, **_: hits.append(name))
jax.jit(lambda x: jnp.sin(x) @ x.T)(jnp.ones((3, 3)))
print(folder, sum(name.endswith("cache_hits") for name in hits))
"""


def run(**environment):
    others = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    done = subprocess.run(
        [sys.executable, "-c", COUNTING],
        cwd=ROOT,
        env=others | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split(), done.stderr


def test_a_second_start_reads_what_the_first_compiled_without_a_word(tmp_path):
    (folder, hits), _ = run(NEOMFLEX_CACHE=str(tmp_path / "cache"))
    if jaxlib.version.__version_info__ < QUIET_SINCE:  # no cache is quieter still
        assert (folder, hits) == ("None", "0")
        return
    assert (folder, hits) == (str(tmp_path / "cache"), "0")
    assert any((tmp_path / "cache").iterdir())
    (_, hits), errors = run(NEOMFLEX_CACHE=str(tmp_path / "cache"))
    assert int(hits) > 0
    assert not errors


def test_off_means_off_and_a_given_cache_stays(tmp_path):
    assert run(NEOMFLEX_CACHE="off")[0] == ["None", "0"]
    assert run(NEOMFLEX_CACHE=str(tmp_path / "a"), JAX_COMPILATION_CACHE_DIR=str(tmp_path / "b"))[0][0] == "None"
    assert not (tmp_path / "a").exists()
