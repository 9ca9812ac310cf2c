"""The results of the score sheet as markdown tables and plots."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

Row = dict[str, Any]
METRICS = {
    "ap_50": "AP 0.5",
    "components": "AP 0.5 with connected components (not ours)",
    "ap_75": "AP 0.75",
    "ap_90": "AP 0.9",
    "touching": "touching found",
    "iou": "foreground IoU",
    "annotation_seconds": "seconds of painting, all images together",
}


def read(path: Path) -> list[Row]:
    """Return the rows; if a training was repeated, the later ones."""
    rows = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    names = ("split", "kind", "paint", "method", "seed", "mark", "budget")
    return list({tuple(row[name] for name in names): row for row in rows}.values())


def markdown(rows: list[Row]) -> str:
    """Return every table, one after the other."""
    parts = []
    for split in sorted({row["split"] for row in rows}):
        here = [row for row in rows if row["split"] == split]
        longest = max(row["budget"] for row in here)
        last = [row for row in here if row["mark"] == row["budget"] == longest]
        parts.append(f"## {split} images\n")
        for metric, title in METRICS.items():
            parts.append(f"### {title} after {longest:g} s, mean ± standard deviation over seeds\n")
            parts.append(_by_method(last, metric))
        parts.append("### ours / forest, AP 0.5 (ratio of the means)\n")
        parts.append(_ratios(last, "ap_50"))
        parts.append("### the same, the forest with connected components\n")
        parts.append(_ratios(last, "components"))
        parts.append("### AP 0.5 by training time, and the last against the best moment\n")
        parts.append(_by_time([row for row in here if row["budget"] == longest]))
    return "\n".join(parts)


def _by_method(rows: list[Row], metric: str) -> str:
    methods = _methods(rows)
    cells: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for row in rows:
        if row.get(metric) is not None:
            cells[row["kind"], row["paint"], row["method"]].append(row[metric])
    lines = [_line("kind", "paint", *methods), _line(*["---"] * (2 + len(methods)))]
    for kind, paint in sorted({(row["kind"], row["paint"]) for row in rows}):
        lines.append(_line(kind, paint, *(_spread(cells[kind, paint, method]) for method in methods)))
    return "\n".join(lines) + "\n"


def _ratios(rows: list[Row], of_forest: str) -> str:
    values: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for row in rows:
        metric = of_forest if row["method"] == "forest" else "ap_50"
        if row.get(metric) is not None:
            values[row["kind"], row["paint"], row["method"]].append(row[metric])
    methods = [method for method in _methods(rows) if method.startswith("ours")]
    lines = [_line("kind", "paint", *methods), _line(*["---"] * (2 + len(methods)))]
    for kind, paint in sorted({key[:2] for key in values}):
        forest = values.get((kind, paint, "forest"))
        if forest:
            ratios = (
                f"{np.mean(values[kind, paint, method]) / max(float(np.mean(forest)), 1e-3):.2f}"
                if (kind, paint, method) in values
                else "–"
                for method in methods
            )
            lines.append(_line(kind, paint, *ratios))
    return "\n".join(lines) + "\n"


def _by_time(rows: list[Row]) -> str:
    marks = sorted({row["mark"] for row in rows})
    curves = _curves(rows)
    titles = (f"{mark:g} s" for mark in marks)
    lines = [_line("kind", "paint", "method", *titles, "last - best"), _line(*["---"] * (4 + len(marks)))]
    for (kind, paint, method), curve in sorted(curves.items()):
        # Seed by seed: how far the end is below the best moment of the same training.
        whole = [scores for scores in curve.values() if len(scores) == len(marks)]
        gap = [scores[marks[-1]] - max(scores.values()) for scores in whole]
        columns = (_spread([s[mark] for s in curve.values() if mark in s]) for mark in marks)
        lines.append(_line(kind, paint, method, *columns, _spread(gap)))
    return "\n".join(lines) + "\n"


def plot(rows: list[Row], folder: Path) -> None:
    """Draw AP 0.5 against seconds of training, one file for each split and paint, a panel for each kind."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    for split, paint in sorted({(row["split"], row["paint"]) for row in rows}):
        here = [row for row in rows if (row["split"], row["paint"]) == (split, paint)]
        kinds = sorted({row["kind"] for row in here})
        figure, panels = plt.subplots(
            1, len(kinds), figsize=(3 * len(kinds), 3), sharey=True, squeeze=False, layout="constrained"
        )
        for panel, kind in zip(panels[0], kinds, strict=True):
            for method in _methods(here):
                scores = defaultdict(list)
                for row in here:
                    if (row["kind"], row["method"]) == (kind, method):
                        scores[row["mark"]].append(row["ap_50"])
                marks = sorted(scores)
                if not marks:
                    continue
                (line,) = panel.plot(marks, [np.mean(scores[mark]) for mark in marks], "o-", label=method)
                low, high = ([edge(scores[mark]) for mark in marks] for edge in (min, max))
                panel.fill_between(marks, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
            panel.set(title=kind, xlabel="seconds of training", ylim=(0, 1))
        panels[0][0].set_ylabel("AP at IoU 0.5")
        panels[0][-1].legend(fontsize="x-small")
        figure.savefig(folder / f"{split}-{paint}.png", dpi=120)
        plt.close(figure)


def _curves(rows: list[Row]) -> dict[tuple[str, str, str], dict[int, dict[float, float]]]:
    """Return AP 0.5 by (kind, paint, method), then seed, then mark."""
    curves: dict[tuple[str, str, str], dict[int, dict[float, float]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        curves[row["kind"], row["paint"], row["method"]][row["seed"]][row["mark"]] = row["ap_50"]
    return curves


def _methods(rows: list[Row]) -> list[str]:
    """Return the methods, ours first."""
    return sorted({row["method"] for row in rows}, key=lambda name: (not name.startswith("ours"), name))


def _spread(values: list[float]) -> str:
    if not values:
        return "–"
    deviation = f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
    return f"{np.mean(values):.2f}{deviation}"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
