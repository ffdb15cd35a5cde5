"""Users' modules in a test: what they register is forgotten when it ends."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from neomflex_jax.devices import registry
from neomflex_jax.scenario import users_parts
from validation.recompute import twins, users_twins


@contextmanager
def forgotten_afterwards(*modules: str) -> Iterator[None]:
    """Put all registers, and the folders that are searched for modules, back as they were; unload these modules."""
    parts: dict[str, dict[str, tuple[object, str]]] = {field: {} for field in users_parts.NOUNS}
    with ExitStack() as stack:
        stack.enter_context(patch.object(registry, "_registered", list(registry.PACKAGED)))
        stack.enter_context(patch.object(users_parts, "_registered", parts))
        stack.enter_context(patch.object(sys, "path", list(sys.path)))
        for known in (twins.TWINS, users_twins.TERM_TWINS, users_twins.OBSERVATION_TWINS):
            stack.enter_context(patch.dict(known))
        try:
            yield
        finally:
            for name in modules:
                sys.modules.pop(name, None)
