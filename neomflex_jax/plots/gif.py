"""An animated GIF of images, through Pillow, which Matplotlib brings: all frames in one palette of our colours."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from neomflex_jax.files.whole_files import whole_file
from neomflex_jax.plots import style
from neomflex_jax.plots.drawing import to_rgb
from neomflex_jax.plots.voltage_dots import voltage_colours

GIF_DPI = 80


def write_gif(images: Iterable[UInt8[np.ndarray, "height width 3"]], path: Path, milliseconds: int) -> None:
    """Write images of one size, each shown so long, again and again; folders are made as needed."""
    from PIL import Image

    palette = Image.new("P", (1, 1))
    palette.putpalette(_palette())
    frames = [Image.fromarray(image).quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        frames[0].save(
            partial, format="GIF", save_all=True, append_images=frames[1:], duration=milliseconds, loop=0, optimize=True
        )


def _palette() -> list[int]:
    """Return at most 256 colours of all frames, as red, green and blue: voltages', greys, and ours down to white."""
    voltages = voltage_colours(np.linspace(0.0, 1.0, 112))
    greys = np.linspace(0.0, 1.0, 40)[:, None].repeat(3, axis=1)
    ours = np.array([to_rgb(colour) for colour in (*style.COLOURS, style.INK)])
    paler = np.concatenate([1.0 - share * (1.0 - ours) for share in np.linspace(0.15, 1.0, 14)])
    return np.round(255 * np.concatenate([voltages, greys, paler])).astype(int).ravel().tolist()
