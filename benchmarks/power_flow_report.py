"""The table, the JSON file and the figure of `power_flow.py`."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from machine import describe_machine, package_versions
from network_products import Products
from rich.console import Console
from rich.table import Table

BASELINE = "pgm_"  # ratios are to the best of power-grid-model's methods, in the same run


@dataclass
class Row:
    """One solver on one batch of one feeder."""

    buses: int
    feeder: str
    solver: str
    batch: int  # cases in a call; 1 for a solver without batches
    cases: int  # solved in the time measured; more than the batch where they are solved one by one
    tolerance: float | None  # in the solver's own measure
    max_error_pu: float  # of the voltages, against the float64 reference
    checked_cases: int  # compared with the reference
    converged_share: float
    agrees: bool | None  # None for the approximate methods
    sweeps: float | None  # mean over the cases
    first_call_s: float
    peak_extra_mib: float | None  # most host memory in a call (ours: the second) beyond that before
    products: Products | None  # of `ac`: its matrix products alone, run the same way
    seconds: float = math.nan  # best time of a call
    flows_per_second: float = math.nan
    compile_s: float = math.nan  # first call less the best
    product_share_of_square: float | None = None  # of the rate of a large square product
    product_share_alone: float | None = None  # of the rate at which the products alone run

    def finish(self, seconds: float, square_gflops: float) -> None:
        """Fill in what follows from the best time of a call."""
        self.seconds, self.flows_per_second = seconds, self.cases / seconds
        self.compile_s = max(0.0, self.first_call_s - seconds)
        if self.products is not None and self.sweeps is not None:
            evaluations = self.sweeps * self.flows_per_second
            self.product_share_of_square = 1e-9 * self.products.flops * evaluations / square_gflops
            self.product_share_alone = evaluations / self.products.per_second


def best_rows(rows: list[Row]) -> dict[int, dict[str, Row]]:
    """Each solver's fastest row for each number of buses; exact solvers only with rows that agree."""
    best: dict[int, dict[str, Row]] = {}
    for row in rows:
        of_size = best.setdefault(row.buses, {})
        if row.agrees is not False and (
            row.solver not in of_size or row.flows_per_second > of_size[row.solver].flows_per_second
        ):
            of_size[row.solver] = row
    return best


def ratios_to_baseline(rows: list[Row]) -> dict[int, dict[str, float]]:
    """Best rate of every solver over power-grid-model's best, for each number of buses."""
    ratios = {}
    for buses, of_size in best_rows(rows).items():
        baseline = [row.flows_per_second for name, row in of_size.items() if name.startswith(BASELINE)]
        if baseline:
            ratios[buses] = {name: row.flows_per_second / max(baseline) for name, row in of_size.items()}
    return ratios


def print_report(rows: list[Row], skipped: list[str], square_gflops: float) -> None:
    """Print all rows, then the best of each solver and its ratio to power-grid-model."""
    console = Console(width=None if Console().is_terminal else 160)
    machine = describe_machine()
    console.print(f"{machine['cpu_model']}, {machine['cores']} cores, JAX on {machine['jax_device']}")
    console.print(f"float32 product of two 2048 x 2048 matrices: {square_gflops:,.0f} GFLOP/s", highlight=False)
    console.print(_table_of_rows(rows))
    console.print(_table_of_ratios(rows))
    for line in skipped:
        console.print(f"skipped: {line}", highlight=False)


def _table_of_rows(rows: list[Row]) -> Table:
    table = Table(title="Power flows a second")
    headings = "buses|solver|batch|flows/s|max error pu|agrees|sweeps|% of square|% of products|compile s|extra MiB"
    for heading in (*headings.split("|"), "tolerance"):
        table.add_column(heading, justify="left" if heading == "solver" else "right", no_wrap=heading == "solver")
    for row in rows:
        table.add_row(
            str(row.buses),
            row.solver,
            f"{row.batch:,}",
            f"{row.flows_per_second:,.0f}",
            f"{row.max_error_pu:.1e}",
            {True: "yes", False: "[bold red]no[/]", None: "-"}[row.agrees],
            _number(row.sweeps, ".1f"),
            _percent(row.product_share_of_square),
            _percent(row.product_share_alone),
            f"{row.compile_s:.2f}",
            _number(row.peak_extra_mib, ",.0f"),
            _number(row.tolerance, ".0e"),
        )
    return table


def _table_of_ratios(rows: list[Row]) -> Table:
    best, ratios = best_rows(rows), ratios_to_baseline(rows)
    table = Table(title="Best flows/s, and x power-grid-model's best in this run (exact solvers only where they agree)")
    table.add_column("solver", no_wrap=True)
    for buses in best:
        table.add_column(f"{buses:,} buses", justify="right")
    for name in dict.fromkeys(row.solver for row in rows):
        cells = []
        for buses, of_size in best.items():
            rate = f"{of_size[name].flows_per_second:,.0f}" if name in of_size else "-"
            ratio = ratios.get(buses, {}).get(name)
            cells.append(rate if ratio is None else f"{rate} ({ratio:.3g} x)")
        table.add_row(name, *cells)
    return table


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100.0 * share:.0f}"


def write_report(
    folder: Path, rows: list[Row], skipped: list[str], square_gflops: float, options: dict[str, object]
) -> None:
    """Write power_flow.json and power_flow.png."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(),
        "versions": package_versions(),
        "options": options,
        "square_product_gflops": square_gflops,
        "ratios_to_power_grid_model": ratios_to_baseline(rows),
        "rows": [_without_nan(asdict(row)) for row in rows],
        "skipped": skipped,
    }
    (folder / "power_flow.json").write_text(json.dumps(figures, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    plot(rows, folder / "power_flow.png")


def _without_nan(row: dict[str, object]) -> dict[str, object]:
    """JSON has no NaN: null instead."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()
    }


def plot(rows: list[Row], file: Path) -> None:
    """Draw flows/s against batch size on the smallest feeder, and against buses at each solver's best batch."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5), layout="constrained")
    by_batch, by_buses = figure.subplots(1, 2)
    best = best_rows(rows)
    smallest = min(best)
    for index, name in enumerate(dict.fromkeys(row.solver for row in rows)):
        style = {"marker": "o", "markersize": 4, "color": colormaps["tab20"](index), "label": name}
        of_smallest = [row for row in rows if row.solver == name and row.buses == smallest]
        by_batch.plot([row.batch for row in of_smallest], [row.flows_per_second for row in of_smallest], **style)
        sizes = sorted(buses for buses in best if name in best[buses])
        by_buses.plot(sizes, [best[buses][name].flows_per_second for buses in sizes], **style)
    exact = [row for row in best[smallest].values() if row.agrees] or list(best[smallest].values())
    fastest = max(row.flows_per_second for row in exact)
    sizes = [smallest, max(best)]
    by_buses.plot(sizes, [fastest * smallest / buses for buses in sizes], "k:", label="1 / buses")
    by_batch.set(title=f"{smallest} buses", xlabel="batch size", ylabel="power flows per second")
    by_buses.set(title="each solver at its best batch size", xlabel="buses", ylabel="power flows per second")
    for axes in (by_batch, by_buses):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.grid(alpha=0.3)
    by_buses.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    figure.savefig(file, dpi=150)
