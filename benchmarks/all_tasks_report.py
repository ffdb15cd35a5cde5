"""What is said of `all_tasks.py`'s rows: the seeds of a row together, over the task's optimum, as table and picture."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
from machine import describe_machine, package_versions

from neomflex_jax.plots import style

KEY = ["task", "who", "seed", "budget", "busy"]
GROUP = [name for name in KEY if name != "seed"]
OPTIMUM = "perfect_foresight"
HEADER = (
    "task | who | budget | seeds | day cost, median | worst | over the optimum, median | worst "
    "| hard violations | steps | seconds | cores"
)


def summary_of(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one line for all seeds of a task, learner or yardstick, and budget; costs also over the optimum's."""
    known = rows.dropna(subset="day_cost").reindex(columns=[*rows.columns.union(["steps", "cpu_seconds"])])
    optimum = known[known["who"] == OPTIMUM].set_index("task")["day_cost"]
    known = known.assign(
        over_optimum=known["day_cost"] / known["task"].map(optimum), cores=known["cpu_seconds"] / known["seconds"]
    )
    return (
        known.groupby(GROUP, sort=False)
        .agg(
            seeds=("seed", "size"),
            median=("day_cost", "median"),
            worst=("day_cost", "max"),
            over_median=("over_optimum", "median"),
            over_worst=("over_optimum", "max"),
            hard_violations=("hard_violations", "sum"),
            steps=("steps", "median"),
            seconds=("seconds", "median"),
            cores=("cores", "median"),
        )
        .reset_index()
    )


def write_report(rows: pd.DataFrame, output: Path) -> None:
    """Write tasks.json, tasks.md and tasks.png."""
    summary = summary_of(rows)
    content = {
        "machine": describe_machine(),
        "packages": package_versions(),
        "rows": json.loads(rows.to_json(orient="records")),
        "summary": json.loads(summary.to_json(orient="records")),
    }
    (output / "tasks.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    (output / "tasks.md").write_text(markdown_of(summary, rows), encoding="utf-8")
    if not summary.empty:
        draw(summary).savefig(output / "tasks.png")


def markdown_of(summary: pd.DataFrame, rows: pd.DataFrame) -> str:
    """Return the summary as a Markdown table, and below it what could not be made."""
    lines = [f"| {HEADER} |", "|---" * (HEADER.count("|") + 1) + "|"]
    for row in summary.itertuples(index=False):
        beside = ", two loops beside it" if row.busy else ""
        figures = (row.median, row.worst, row.over_median, row.over_worst, row.hard_violations)
        figures += (row.steps, row.seconds, row.cores)
        cells = [row.task, row.who, f"{row.budget}{beside}", str(row.seeds), *map(_short, figures)]
        lines.append(f"| {' | '.join(cells)} |")
    left_out = rows[rows["day_cost"].isna()] if "note" in rows else rows.iloc[:0]
    lines += ["", *(f"Not made: {row.task}, {row.who}: {row.note}" for row in left_out.itertuples())]
    return "\n".join(lines).rstrip() + "\n"


def _short(value: float) -> str:
    if pd.isna(value):
        return ""
    return f"{value:,.0f}" if value == round(value) or abs(value) >= 1000 else f"{value:.4g}"


def draw(summary: pd.DataFrame) -> style.Figure:
    """Draw each task's costs over its optimum, seeds' median and worst; tasks without an optimum have no point."""
    figure, axes = style.new_figure("Day cost on unseen days, in pandapower", "day cost over perfect foresight's")
    summary = summary.dropna(subset="over_median")
    tasks = list(dict.fromkeys(summary["task"]))
    for index, (names, own) in enumerate(summary.groupby(["who", "budget", "busy"], sort=False)):
        where = [tasks.index(task) + 0.08 * (index - 3) for task in own["task"]]
        label = " ".join([names[0], names[1].strip("-"), "busy" if names[2] else ""]).strip()
        colour = style.series_style(index)["color"]
        axes.vlines(where, own["over_median"], own["over_worst"], color=colour)
        axes.scatter(where, own["over_median"], color=colour, s=18, label=label)
    axes.set_yscale("log")
    axes.set_xticks(range(len(tasks)), tasks, rotation=20)
    style.legend(figure, axes)
    return figure
