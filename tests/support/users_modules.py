"""Users' modules in a test: what they register is forgotten when it ends."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from neomflex_jax.devices import registry
from validation.recompute import twins


@contextmanager
def forgotten_afterwards(*modules: str) -> Iterator[None]:
    """Put kinds, twins and the folders that are searched for modules back as they were; these modules are unloaded."""
    kinds = patch.object(registry, "_registered", list(registry.PACKAGED))
    with kinds, patch.object(sys, "path", list(sys.path)), patch.dict(twins.TWINS):
        try:
            yield
        finally:
            for name in modules:
                sys.modules.pop(name, None)
