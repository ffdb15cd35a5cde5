"""Policies to take away: NumPy without a compilation, and ONNX judged by its own reference evaluator."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from command_line import neomflex

from neomflex_jax import InputError
from neomflex_jax.agents.networks import ActorNetwork
from neomflex_jax.agents.policy_files import save_policies


def network(activation="relu", sizes=(5, 7, 6, 2), seed=0):
    random = np.random.default_rng(seed)
    layers = tuple(
        (random.normal(size=(a, b)).astype(np.float32), random.normal(size=b).astype(np.float32))
        for a, b in pairwise(sizes)
    )
    mean, scale = random.normal(size=(2, sizes[0])).astype(np.float32)
    return ActorNetwork(mean, scale, layers, activation)


@pytest.fixture
def folder(tmp_path):
    networks = {"agent_1": network(), "agent_2": network("tanh", (4, 3), seed=1)}
    save_policies(tmp_path / "policies", networks, "neom33", {"agent_1": {}, "agent_2": {}})
    return tmp_path


@pytest.mark.parametrize(("activation", "sizes"), [("relu", (5, 7, 6, 2)), ("tanh", (3, 4, 1)), ("relu", (2, 1))])
def test_the_onnx_graph_acts_as_the_policy_does(activation, sizes):
    reference = pytest.importorskip("onnx.reference")
    from neomflex_jax.agents.onnx_export import to_onnx

    actor = network(activation, sizes)
    observation = np.random.default_rng(3).normal(size=(11, sizes[0])).astype(np.float32)
    (action,) = reference.ReferenceEvaluator(to_onnx(actor, "agent")).run(None, {"observation": observation})
    assert action.dtype == np.float32
    np.testing.assert_allclose(action, actor(observation), rtol=1e-4, atol=1e-6)


def test_export_writes_a_file_that_onnx_reads(folder, capsys):
    onnx = pytest.importorskip("onnx")
    path = folder / "exported" / "actor.onnx"
    assert neomflex("export", "--policies", folder, "--agent", "agent_2", "--output", path) == 0
    model = onnx.load(path)
    assert [node.op_type for node in model.graph.node] == ["Sub", "Mul", "Gemm", "Tanh"]
    assert "observation (batch, 4) -> action (batch, 3)" in capsys.readouterr().out
    assert neomflex("export", "--policies", folder, "--agent", "agent_2", "--output", path) == 2


@pytest.mark.parametrize(
    ("agent", "name", "message"),
    [("agent_9", "x.onnx", "there are: agent_1, agent_2"), ("agent_1", "x.pb", "must end in .onnx")],
)
def test_unusable_wishes_are_refused(folder, agent, name, message, capsys):
    assert neomflex("export", "--policies", folder, "--agent", agent, "--output", folder / name) == 2
    assert message in " ".join(capsys.readouterr().out.split())
    assert not (folder / name).exists()


def test_a_missing_package_is_named_with_its_remedy(monkeypatch):
    from neomflex_jax.agents.onnx_export import to_onnx

    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match=r"pip install \"neomflex-jax\[onnx\]\""):
        to_onnx(network(), "agent")


def test_loaded_policies_touch_no_device_and_compile_nothing(folder):
    program = f"""
import numpy as np
import neomflex_jax as nf
policies = nf.load_policies({str(folder)!r})
actions = policies({{"agent_1": np.zeros((3, 5)), "agent_2": np.zeros(4)}})
assert {{agent: (type(a), a.shape) for agent, a in actions.items()}} == {{
    "agent_1": (np.ndarray, (3, 2)), "agent_2": (np.ndarray, (3,))}}
from jax._src import xla_bridge
assert not xla_bridge._backends
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
