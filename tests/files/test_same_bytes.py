"""Equal contents give equal files, whatever the hour and whichever order a library likes."""

import time

import numpy as np
import pytest
from safetensors.numpy import load

from neomflex_jax.agents.networks import ActorNetwork
from neomflex_jax.agents.policy_files import load_policies, save_policies
from neomflex_jax.files.same_bytes import safetensors_bytes, write_npz


def test_equal_policies_are_equal_files_and_readable(tmp_path):
    layers = ((np.ones((4, 2), np.float32), np.zeros(2, np.float32)),)
    network = ActorNetwork(np.zeros(4, np.float32), np.ones(4, np.float32), layers)
    layout = {"agent_1": {"buses": [1, 2], "actions": ["å"]}}
    files = set()
    for attempt in range(20):  # by chance, two orders of ten entries are hardly ever the same
        save_policies(tmp_path / str(attempt), {"agent_1": network}, "a scenario with é", layout)
        files.add((tmp_path / str(attempt) / "agent_1.safetensors").read_bytes())
    assert len(files) == 1
    policies = load_policies(tmp_path / "0")
    assert policies.info["agent_1"].scenario == "a scenario with é"
    np.testing.assert_array_equal(policies.networks["agent_1"].layers[0][0], layers[0][0])


@pytest.mark.parametrize("length", range(9))
def test_a_header_of_any_length_is_read_back(length):
    tensors = {"b": np.arange(3, dtype=np.float32), "a": np.ones((2, 2), np.float32)}
    data = safetensors_bytes(tensors, {"note": "x" * length})
    assert int.from_bytes(data[:8], "little") % 8 == 0
    read = load(data)
    assert all(np.array_equal(read[name], tensor) for name, tensor in tensors.items())


def test_an_archive_of_arrays_does_not_state_the_time(tmp_path, monkeypatch):
    arrays = {"header": np.array("{}"), "power": np.arange(10.0)}
    write_npz(tmp_path / "one.npz", arrays)
    monkeypatch.setattr(time, "time", lambda: 2e9)
    write_npz(tmp_path / "two.npz", arrays)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    with np.load(tmp_path / "one.npz", allow_pickle=False) as read:
        assert {name: read[name].tolist() for name in read.files} == {"header": "{}", "power": list(range(10))}
