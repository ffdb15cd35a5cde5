"""Fresh parameters: kernels from LeCun's truncated normal, biases 0, norms 1, as `flax` starts them.

Y. LeCun et al., "Efficient BackProp", 1998: standard deviation ``1 / sqrt(fan_in)``, cut at two of the normal's own and
scaled back. All kernels of a network are parts of one draw: one draw each is seconds of compilation.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Key, PyTree

from neomflex_jax.agents.optimiser import Params

CUT_STD = 0.87962566103423978  # of a standard normal cut at -2 and 2


def fresh(network: nn.Module, key: Key[Array, ""], inputs: Float[Array, "*batch input_size"]) -> Params:
    """Parameters for inputs of this shape."""
    shapes: PyTree = jax.eval_shape(network.init, key, inputs)
    leaves, structure = jax.tree.flatten_with_path(shapes)
    kinds = [path[-1].key for path, _ in leaves]
    sizes = [leaf.size if kind == "kernel" else 0 for kind, (_, leaf) in zip(kinds, leaves, strict=True)]
    drawn = jnp.split(jax.random.truncated_normal(key, -2.0, 2.0, (sum(sizes),)) / CUT_STD, np.cumsum(sizes)[:-1])

    def start(kind: str, shape: tuple[int, ...], part: Array) -> Array:
        if kind == "kernel":
            return part.reshape(shape) / np.sqrt(shape[0])
        return jnp.ones(shape) if kind == "scale" else jnp.zeros(shape)

    each = zip(kinds, leaves, drawn, strict=True)
    return jax.tree.unflatten(structure, [start(kind, leaf.shape, part) for kind, (_, leaf), part in each])
