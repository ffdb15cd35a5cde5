"""States of the environment with other energies."""

from jax import Array

import neomflex_jax as nf


def with_soc(state: nf.State, soc: Array) -> dict[str, object]:
    """The state's stores with the batteries at another charge."""
    return state.stores | {"batteries": state.stores["batteries"]._replace(soc=soc)}
