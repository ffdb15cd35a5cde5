"""What the type checker is told nothing of, and why; annotations elsewhere take these names in the place of `Any`."""

from __future__ import annotations

from typing import Any, TypeAlias

Keywords: TypeAlias = dict[str, Any]  # arguments of many types to be handed on by `**`, checked where they arrive
