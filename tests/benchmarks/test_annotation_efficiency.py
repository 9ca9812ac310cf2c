import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage
from truths import touching_cells

from kinds import load_kind
from tables import markdown, plot, read

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "annotation_efficiency.py"


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with four small images of one kind, and as many as 13 of another."""
    root = tmp_path_factory.mktemp("data")
    folder = root / "nuclei_dsb2018"
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    names = [f"fluo_256_{number}" for number in range(4)] + [f"fluo_520x696_{n:02}" for n in range(13)]
    for seed, name in enumerate(names):
        labels = touching_cells(seed, (80, 96), 7)
        image = ndimage.gaussian_filter((labels > 0) * 200.0, 1).astype(np.uint8) + np.uint8(seed)
        tifffile.imwrite(folder / "images" / f"{name}.tif", image)
        tifffile.imwrite(folder / "labels" / f"{name}.tif", labels.astype(np.uint16))
    return root


def _run(data: Path, output: Path, *more: str) -> list[dict]:
    options = (
        f"--data {data} --output {output} --kinds fluo_256 --scored 1 --seeds 0 --seconds 0.6 --marks 0.2"
    )
    command = [sys.executable, SCRIPT, *options.split(), *more]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="a training is copied to be stopped before its end")
def test_a_sheet_is_filled_resumed_and_shown(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="in the dependency group bench")
    rows = _run(data, tmp_path, "--paints", "filled")
    methods = ["ours", "forest", "rootpainter", "nnunet"]
    assert [(row["method"], row["mark"]) for row in rows] == [(m, t) for m in methods for t in (0.2, 0.6)]
    for row in rows:
        assert 0 <= row["ap_50"] <= 1
        assert row["annotation_seconds"] > 3
    steps = {(row["method"], row["mark"]): row["steps"] for row in rows}
    for method in ("ours", "rootpainter", "nnunet"):
        assert 1 <= steps[method, 0.2] < steps[method, 0.6]
    assert len({row["annotation_seconds"] for row in rows}) == 1  # the same paint
    assert len(list(tmp_path.glob("development-fluo_256-filled-ours-0/*.png"))) == 3

    assert read(tmp_path / "results.jsonl") == rows
    assert "| fluo_256 | filled | ours |" in markdown(rows)
    plot(rows, tmp_path)
    assert (tmp_path / "development-filled.png").stat().st_size > 5000

    more = ("--paints", "filled", "corrections", "--methods", "nnunet", "--training", "0.2")
    rows = _run(data, tmp_path, *more)
    assert [row["paint"] for row in rows] == ["corrections"] * 2  # the others are there


def test_report_images_are_none_of_development(data: Path) -> None:
    def scored_and_painted(**split: bool) -> tuple[set[int], set[int]]:
        kind = load_kind("fluo_520x696", data, **split)
        painted, scored = ({int(image.min()) for image, _ in pairs} for pairs in (kind.paint, kind.score))
        assert not painted & scored
        return painted, scored

    developed = scored_and_painted(report=False)
    reported = scored_and_painted(report=True)
    assert not (developed[0] | developed[1]) & (reported[0] | reported[1])
    assert [len(part) for part in (*developed, *reported)] == [3, 4, 2, 2]


def test_tables_tell_mean_spread_ratio_and_the_best_moment() -> None:
    same = {
        "split": "report",
        "kind": "phase",
        "paint": "strokes",
        "budget": 120.0,
        "ap_75": 0.1,
        "ap_90": 0.0,
    }
    same |= {"touching": None, "iou": 0.5, "annotation_seconds": 60.0}
    scores = {("ours", 0): (0.5, 0.4), ("ours", 1): (0.5, 0.6), ("forest", 0): (0.25, 0.25)}
    rows = [
        same | {"method": method, "seed": seed, "mark": mark, "ap_50": score}
        for (method, seed), both in scores.items()
        for mark, score in zip((60.0, 120.0), both, strict=True)
    ]
    text = markdown(rows)
    assert "| kind | paint | ours | forest |" in text
    assert "| phase | strokes | 0.50 ± 0.14 | 0.25 |" in text  # after 120 s
    assert "| phase | strokes | 2.00 |" in text
    assert "| phase | strokes | ours | 0.50 ± 0.00 | 0.50 ± 0.14 | -0.05 ± 0.07 |" in text
    assert "| phase | strokes | – | – |" in text  # nothing touches
