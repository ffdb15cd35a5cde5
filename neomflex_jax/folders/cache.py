"""The user's cache folder: where what can be made again is kept, so that it need not be.

``NEOMFLEX_CACHE=off`` switches all of it off, another value is the folder to use.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

SWITCH = "NEOMFLEX_CACHE"


def cache_folder(environment: Mapping[str, str], home: Path, platform: str, of: str = "compiled") -> Path | None:
    """Return where compiled programs, or other things, belong on this platform; None: nowhere."""
    chosen = environment.get(SWITCH, "")
    if chosen.lower() in ("off", "0", "no", "false"):
        return None
    if chosen:
        return Path(chosen).expanduser() / ("" if of == "compiled" else of)
    if platform == "win32":
        base = Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(environment.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "neomflex_jax" / of
