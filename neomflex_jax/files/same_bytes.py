"""Files whose bytes follow from their contents alone: no clock and no arbitrary order in them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save

HEADER_LENGTH = 8  # bytes that state the length of a safetensors file's header, which fills whole eights
NO_TIME = (1980, 1, 1, 0, 0, 0)


def safetensors_bytes(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> bytes:
    """Write a safetensors file; the library itself orders the metadata differently every time."""
    data = save(dict(tensors), metadata=dict(metadata))
    end = HEADER_LENGTH + int.from_bytes(data[:HEADER_LENGTH], "little")
    header = json.loads(data[HEADER_LENGTH:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % HEADER_LENGTH)
    return len(text).to_bytes(HEADER_LENGTH, "little") + text + data[end:]


def write_npz(path: Path, arrays: Mapping[str, np.ndarray], *, compressed: bool = True) -> None:
    """Write arrays as `numpy.savez_compressed` or `savez` does, without the time of day that they put in."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy", NO_TIME)
            member.compress_type = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
            with archive.open(member, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)
