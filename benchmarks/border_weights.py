"""How long border weights take, compared with other ways to compute them: the bars of docs/benchmarks.md.

    python benchmarks/border_weights.py            # all of it, about three minutes
    python benchmarks/border_weights.py --quick    # fewer repetitions, 4096x4096 pixels instead of 8192x8192

Compared methods run in turn, so that a busy machine slows down all of them; times are medians.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from threading import Event, Thread

import edt
import numpy as np
import psutil
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_unet.core.arrays import blocks
from napari_unet.core.borders.weight_config import TOLERANCE, WeightConfig
from napari_unet.core.borders.weight_reading import count_touching
from napari_unet.core.painted.weight_update import update_parts
from napari_unet.core.weights import border_weights, measure_parts

CONFIG = WeightConfig()  # the paper's: w0 10, sigma 5
CUTOFF = CONFIG.sigma * (2 * np.log(1 / TOLERANCE)) ** 0.5
SAMPLE = 8  # objects whose transform of the whole image is timed
Paint = NDArray[np.int32]


def make_cells(shape: tuple[int, ...], count: int, seed: int = 0) -> Paint:
    """Return touching cells: the pixels nearest to each of ``count`` points, a line of background between."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, shape, (count, len(shape)))
    pixels = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).reshape(-1, len(shape))
    distances, owners = cKDTree(points).query(pixels, k=2)
    paint = owners[:, 0].astype(np.int32) + 2
    paint[distances[:, 1] - distances[:, 0] < 1] = 1
    return paint.reshape(shape)


def make_probabilities(cells: Paint, seed: int = 0) -> NDArray[np.float32]:
    """Return what a network might predict: certainty inside, seams between cells, smooth noise (Y, X)."""
    depth = edt.edt(np.where(cells > 1, cells, 0))
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=cells.shape), 1.5)
    log_odds = np.where(cells > 1, np.minimum(1.2 * (depth - 1.2), 5), -4) + 2.5 * noise
    return (1 / (1 + np.exp(-log_odds))).astype(np.float32)


def repeat(paint: Paint, times: int) -> Paint:
    """Return copies of the image side by side, ``times`` along both axes, each with separate objects."""
    wide = np.tile(paint, (times, times))
    number = np.arange(times * times, dtype=np.int32).reshape(times, times).repeat(len(paint), 0)
    offset = number.repeat(paint.shape[1], 1) * paint.max()
    return np.where(wide > 1, wide + offset, 1).astype(np.int32)


def in_turn(repetitions: int, *functions: Callable[[], object]) -> list[float]:
    """Return the median time of each, in seconds, after one call that does not count."""
    times: list[list[float]] = [[] for _ in functions]
    for number in range(repetitions + 1):
        for function, taken in zip(functions, times, strict=True):
            begun = time.perf_counter()
            function()
            if number:
                taken.append(time.perf_counter() - begun)
    return [median(taken) for taken in times]


def naive_seconds(paint: Paint) -> float:
    """Extrapolate from some objects the time of one whole-image transform per object: all take the same."""
    ids = np.unique(paint[paint > 1])
    taken = []
    nearest = np.full(paint.shape, np.inf)
    second = nearest.copy()
    for number in ids[:: max(1, len(ids) // SAMPLE)][:SAMPLE]:
        begun = time.perf_counter()
        distance = ndimage.distance_transform_edt(paint != number)
        np.minimum(second, np.maximum(nearest, distance), out=second)
        np.minimum(nearest, distance, out=nearest)
        taken.append(time.perf_counter() - begun)
    return median(taken) * len(ids)


def cropped(paint: Paint, transform: Callable[[NDArray[np.bool_]], NDArray[np.float32]]) -> tuple[Paint, ...]:
    """Return both distances by one transform per object, of its bounding box widened by the cut-off."""
    nearest = np.full(paint.shape, np.inf, np.float32)
    second = nearest.copy()
    margin = int(CUTOFF)
    for number, box in enumerate(ndimage.find_objects(paint), start=1):
        if number == 1 or box is None:
            continue
        window = tuple(slice(max(0, side.start - margin), side.stop + margin) for side in box)
        distance = transform(paint[window] != number)
        distance[distance > CUTOFF] = np.inf
        near, far = nearest[window], second[window]
        np.minimum(far, np.maximum(near, distance), out=far, casting="same_kind")
        np.minimum(near, distance, out=near, casting="same_kind")
    return nearest, second


class Table:
    """The rows, printed as they come."""

    def __init__(self) -> None:
        print("| case | here | the other | ratio | bar | |")
        print("|---|---|---|---|---|---|", flush=True)

    def row(self, case: str, here: str, other: str, ratio: float, bar: str, met: bool) -> None:  # noqa: PLR0917
        """Print one row."""
        figure = f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.2g}" if ratio < 0.1 else f"{ratio:.2f}"
        print(
            f"| {case} | {here} | {other} | {figure} | {bar} | {'met' if met else '**missed**'} |", flush=True
        )

    def faster(self, case: str, here: float, other: float, at_least: float) -> None:
        """Print how many times faster ours is."""
        ratio = other / here
        self.row(case, seconds(here), seconds(other), ratio, f">= {at_least:,.0f}x faster", ratio >= at_least)

    def within(self, case: str, here: float, other: float, at_most: float) -> None:
        """Print our time as a multiple of the other's."""
        ratio = here / other
        self.row(case, seconds(here), seconds(other), ratio, f"<= {at_most}x", ratio <= at_most)


def seconds(value: float) -> str:
    """Return a time that is easy to read."""
    return f"{value:,.1f} s" if value >= 10 else f"{value:.2f} s" if value >= 1 else f"{value * 1000:.0f} ms"


def compare_methods(table: Table, cells: Paint, repetitions: int) -> None:
    """Time the map against other ways to compute its distances."""
    objects = np.where(cells > 1, cells, 0)
    whole, limit, scipy_crops, edt_crops = in_turn(
        repetitions,
        lambda: border_weights(cells, CONFIG),
        lambda: edt.edt(objects, parallel=2),
        lambda: cropped(cells, ndimage.distance_transform_edt),
        lambda: cropped(cells, edt.edt),
    )
    crops, by = min((scipy_crops, "scipy"), (edt_crops, "edt"))
    size = f"{cells.shape[0]}², {np.unique(objects).size - 1:,} touching objects"
    table.faster(
        f"{size}: map / one full transform per object (from {SAMPLE})", whole, naive_seconds(cells), 1500
    )
    table.within(f"{size}: map / one multi-label transform (edt, 2 threads)", whole, limit, 2)
    table.faster(f"{size}: map / cropped transforms (best: {by}; distances only)", whole, crops, 3)


def compare_sizes(table: Table, cells: Paint, repetitions: int, times: int) -> None:
    """Time different numbers of objects on the same pixels, and different sizes with the same objects."""
    few, many = make_cells(cells.shape, 200), make_cells(cells.shape, 20_000)
    with_few, with_many = in_turn(
        repetitions, lambda: border_weights(few, CONFIG), lambda: border_weights(many, CONFIG)
    )
    slower, faster = max(with_few, with_many), min(with_few, with_many)
    table.within("2048²: 20,000 objects / 200 objects", with_many, with_few, 1.3)
    table.within("the same, the slower / the faster", slower, faster, 1.3)

    images = [cells[:512, :512].copy(), cells, repeat(cells, times)]
    taken = in_turn(repetitions, *[partial(border_weights, image, CONFIG) for image in images])
    per_pixel = [t / image.size for t, image in zip(taken, images, strict=True)]
    names = " / ".join(f"{image.shape[0]}²" for image in images)
    figures = " / ".join(f"{1e9 * value:.0f}" for value in per_pixel)
    ratio = max(per_pixel) / min(per_pixel)
    table.row(f"ns a pixel at {names}", figures, "", ratio, "within 1.5x", ratio <= 1.5)


def compare_volume(table: Table, repetitions: int) -> None:
    """Time a volume of flat voxels against one exact transform of it."""
    coarse = make_cells((32, 256, 256), 500)
    volume = coarse.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    spacing = (2.5, 1.0, 1.0)
    here, other = in_turn(
        repetitions,
        lambda: border_weights(volume, CONFIG, spacing=spacing),
        lambda: ndimage.distance_transform_edt(volume < 2, sampling=spacing),
    )
    table.within("64x512x512, spacing 2.5, 1, 1, 500 objects / one scipy transform", here, other, 3)


def compare_strokes(table: Table, cells: Paint, repetitions: int) -> None:
    """Time the work after a stroke, on one thread: the update, its sum, and the sentence."""
    parts = measure_parts(cells, CONFIG)
    box = (slice(1000, 1020), slice(1000, 1040))
    edited = cells.copy()
    edited[box] = 1
    threads, blocks.MAX_THREADS = blocks.MAX_THREADS, 1

    def follow() -> None:
        updated, _ = update_parts(parts, edited, box, CONFIG)
        updated.sum(CONFIG)
        count_touching(edited, updated.border)

    update, everything = in_turn(2 * repetitions, lambda: update_parts(parts, edited, box, CONFIG), follow)
    blocks.MAX_THREADS = threads
    table.within("2048², 2,000 objects: a stroke, update of the parts / 100 ms", update, 0.1, 0.5)
    table.within("the same with map and sentence, one thread / 100 ms", everything, 0.1, 0.9)


def measure_memory(table: Table, side: int) -> None:
    """Measure the peak memory of a separate process, without paint and map."""
    program = [sys.executable, __file__, "--memory", str(side)]
    peak = int(subprocess.run(program, check=True, capture_output=True, text=True).stdout)
    paint = side * side * 4
    ratio = peak / paint
    sizes = f"{peak / 2**20:,.0f} MiB", f"paint {paint / 2**20:,.0f} MiB"
    table.row(f"{side}²: peak memory beyond input and output / paint", *sizes, ratio, "<= 6x", ratio <= 6)


def report_memory(side: int) -> None:
    """Print how far the resident memory rises above paint and map, in bytes."""
    border_weights(np.diag([2, 3]), CONFIG)  # compiled, libraries loaded
    ids = np.arange((side // 45 + 1) ** 2, dtype=np.int32).reshape(side // 45 + 1, -1) + 2
    paint = np.ones((side, side), np.int32)
    for row, line in enumerate(ids):  # row by row, so that making it is not the peak
        paint[row * 45 : row * 45 + 43] = line.repeat(45)[:side]
    process, finished = psutil.Process(), Event()
    before = process.memory_info().rss
    seen = [before]

    # Sampled every 2 ms: getrusage's peak is useless, as it begins with that of the parent process.
    def watch() -> None:
        while not finished.wait(0.002):
            seen.append(process.memory_info().rss)

    watcher = Thread(target=watch)
    watcher.start()
    weights = border_weights(paint, CONFIG)
    finished.set()
    watcher.join()
    print(max(seen) - before - weights.nbytes)


def measure_errors(table: Table) -> None:
    """Compare with the formula, one transform for each object, without the cut-off."""
    cells = make_cells((256, 256), 40)
    cells[::7] = 0
    spacing = (1.3, 1.0)
    ids = np.unique(cells[cells > 1])
    maps = [ndimage.distance_transform_edt(cells != number, sampling=spacing) for number in ids]
    total = np.partition(maps, 1, axis=0)[:2].sum(axis=0)
    exact = CONFIG.w0 * np.exp(-(total**2) / (2 * CONFIG.sigma**2)) * (cells > 0)
    border = measure_parts(cells, CONFIG, spacing=spacing).border
    error = float(np.abs(border - exact).max()) / CONFIG.w0
    table.row("largest error / w0", "", "", error, "<= 0.001", error <= 1e-3)


def measure_start() -> None:
    """Print the cost of the first call: once per installation, and once per process."""
    program = (
        "import time, numpy as np; from napari_unet.core.weights import border_weights;"
        "t = time.perf_counter(); import numba; u = time.perf_counter();"
        "border_weights(np.diag([2, 3])); print(u - t, time.perf_counter() - u)"
    )
    with tempfile.TemporaryDirectory() as folder:
        for when in ("first process after installation", "later processes"):
            result = subprocess.run(
                [sys.executable, "-c", program],
                check=True, capture_output=True, text=True, env={**os.environ, "NUMBA_CACHE_DIR": folder},
            )  # fmt: skip
            imported, called = map(float, result.stdout.split())
            print(f"{when}: import of numba {seconds(imported)}, first map {seconds(called)}")


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, smaller large image")
    parser.add_argument("--memory", type=int, metavar="SIDE", help="only print the peak memory, in bytes")
    arguments = parser.parse_args()
    if arguments.memory:
        report_memory(arguments.memory)
        return
    repetitions, times = (3, 2) if arguments.quick else (7, 4)
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    python, versions = platform.python_version(), f"numpy {np.__version__}, edt {version('edt')}"
    print(f"{os.cpu_count()} cores{load}; Python {python}, {versions}; {Path(__file__).name}\n")
    table = Table()
    cells = make_cells((2048, 2048), 2000)
    compare_methods(table, cells, repetitions)
    compare_sizes(table, cells, repetitions, times)
    compare_volume(table, max(2, repetitions // 2))
    compare_strokes(table, cells, repetitions)
    measure_memory(table, 2048 * times)
    measure_errors(table)
    print()
    measure_start()


if __name__ == "__main__":
    main()
