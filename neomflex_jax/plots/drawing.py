"""What figures are made of, from Matplotlib: imported here alone, after `load_matplotlib`."""

from neomflex_jax.matplotlib_import import load_matplotlib

load_matplotlib()

from matplotlib import colormaps  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: E402
from matplotlib.collections import LineCollection  # noqa: E402
from matplotlib.colors import LogNorm, TwoSlopeNorm, to_rgb  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.layout_engine import ConstrainedLayoutEngine  # noqa: E402
from matplotlib.lines import Line2D  # noqa: E402
from matplotlib.patches import Circle, Rectangle  # noqa: E402
from matplotlib.text import Text  # noqa: E402
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter  # noqa: E402
from matplotlib.transforms import Affine2D, ScaledTranslation, offset_copy  # noqa: E402

__all__ = [
    "Affine2D",
    "Axes",
    "Circle",
    "ConstrainedLayoutEngine",
    "Figure",
    "FigureCanvasAgg",
    "Line2D",
    "LineCollection",
    "LogLocator",
    "LogNorm",
    "MaxNLocator",
    "NullFormatter",
    "Rectangle",
    "ScaledTranslation",
    "Text",
    "TwoSlopeNorm",
    "colormaps",
    "offset_copy",
    "to_rgb",
]
