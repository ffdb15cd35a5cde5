"""One actor as an ONNX graph, for runtimes without Python: ``observation (batch, size) -> action (batch, size)``.

The graph is `ActorNetwork`'s equation in the operators Sub, Mul, Gemm, Relu or Tanh, float32, the mode of the policy.
Source of the operators' meaning: the ONNX specification, opset 13. The package `onnx` is loaded when asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from neomflex_jax._version import __version__
from neomflex_jax.agents.networks import ActorNetwork
from neomflex_jax.errors import InputError
from neomflex_jax.files.whole_files import whole_file

OPSET, IR_VERSION = 13, 8  # old enough for runtimes of the last years
OPERATORS = {"relu": "Relu", "tanh": "Tanh"}


def to_onnx(network: ActorNetwork, name: str) -> Any:
    """Build the model (an `onnx.ModelProto`), checked by ONNX itself.

    Raises
    ------
    InputError
        If the package `onnx` is missing.
    """
    try:
        import onnx
        from onnx import TensorProto, helper, numpy_helper
    except ImportError as error:
        raise InputError('exporting needs the package onnx: pip install "neomflex-jax[onnx]"') from error
    constants = {"observation_mean": network.observation_mean, "observation_scale": network.observation_scale}
    nodes = [
        helper.make_node("Sub", ["observation", "observation_mean"], ["centred"]),
        helper.make_node("Mul", ["centred", "observation_scale"], ["x_0"]),
    ]
    last = len(network.layers) - 1
    for index, (kernel, bias) in enumerate(network.layers):
        constants |= {f"kernel_{index}": kernel, f"bias_{index}": bias}
        nodes.append(helper.make_node("Gemm", [f"x_{index}", f"kernel_{index}", f"bias_{index}"], [f"sum_{index}"]))
        operator = "Tanh" if index == last else OPERATORS[network.activation]
        nodes.append(helper.make_node(operator, [f"sum_{index}"], ["action" if index == last else f"x_{index + 1}"]))
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("observation", TensorProto.FLOAT, ["batch", network.observation_size])],
        [helper.make_tensor_value_info("action", TensorProto.FLOAT, ["batch", network.action_size])],
        [numpy_helper.from_array(np.asarray(value, np.float32), key) for key, value in constants.items()],
    )
    model = helper.make_model(
        graph,
        producer_name="neomflex_jax",
        producer_version=__version__,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def save_onnx(network: ActorNetwork, name: str, path: Path) -> None:
    """Write the model, whole or not at all; errors as in `to_onnx`."""
    written = to_onnx(network, name).SerializeToString()
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        partial.write_bytes(written)
