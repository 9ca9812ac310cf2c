"""Make the views that starters learn from, once for all starters.

OMP_NUM_THREADS=1 python training/make_views.py --data ../shared/data --output build/views

A view is a window of a drawn or a real image with everything that is taught about it. Drawing one takes a
tenth of a second, so all cores do this before a training. The seed decides which view has which number. Views
are small: more than one thread per process would only be in the way.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from multiprocessing import Process
from pathlib import Path

import numpy as np

from real_images import RealImage, load_images, shares
from views import WINDOW, real_view, synthetic_view

DRAWN = "drawn"
"""The kind of drawn images."""

PLANES: dict[str, type[np.generic]] = {
    "image": np.float16,
    "target": np.uint8,
    "weight": np.float16,
    "distance": np.float16,
}
"""Parts of every view, and their types."""


def create(folder: Path, kinds: list[str]) -> None:
    """Make files for as many views as there are ``kinds``: ``NAME.npy`` (N, WINDOW, WINDOW), all 0.

    ``extent.npy`` (N, 2) will have the sizes of the views; ``kinds.json`` has their kinds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, dtype in PLANES.items():
        shape = (len(kinds), WINDOW, WINDOW)
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype=dtype, shape=shape)
    np.lib.format.open_memmap(folder / "extent.npy", "w+", dtype=np.int64, shape=(len(kinds), 2))
    (folder / "kinds.json").write_text(json.dumps(kinds), encoding="utf-8")


def choose_kind(number: int, *, seed: int, drawn: int) -> str:
    """Return the kind of the view with a number: the first ``drawn`` are drawn, the others real."""
    if number < drawn:
        return DRAWN
    kinds = shares()
    chosen = np.random.default_rng([seed, 0, number]).choice(len(kinds), p=list(kinds.values()))
    return list(kinds)[int(chosen)]


@dataclass(frozen=True, slots=True)
class Writer:
    """Makes views and writes them into the files."""

    folder: Path
    seed: int
    kinds: list[str]
    images: list[RealImage]

    def write(self, number: int) -> None:
        """Make the view with a number."""
        rng, kind = np.random.default_rng([self.seed, 1, number]), self.kinds[number]
        real = [image for image in self.images if image.kind == kind]
        view = synthetic_view(rng) if kind == DRAWN else real_view(real, rng)
        parts = {
            "image": view.image[0],
            "target": view.target,
            "weight": view.weight,
            "distance": view.distance,
        }
        for name, values in parts.items():
            if values is not None:
                rows, columns = (min(edge, WINDOW) for edge in values.shape)
                packed = np.load(self.folder / f"{name}.npy", mmap_mode="r+")
                packed[number, :rows, :columns] = values[:rows, :columns]
                np.load(self.folder / "extent.npy", mmap_mode="r+")[number] = rows, columns

    def write_all(self, numbers: Iterable[int]) -> None:
        """Make the views with these numbers."""
        for number in numbers:
            self.write(number)


def main(arguments: list[str] | None = None) -> int:
    """Make as many views as the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the labelled images")
    parser.add_argument("--output", type=Path, required=True, help="the folder to write; 600 KB a view")
    parser.add_argument("--drawn", type=int, default=3000, help="views of drawn micrographs")
    parser.add_argument("--real", type=int, default=3000, help="views of real images")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    options = parser.parse_args(arguments)
    images = load_images(options.data)
    numbers = range(options.drawn + options.real)
    kinds = [choose_kind(number, seed=options.seed, drawn=options.drawn) for number in numbers]
    create(options.output, kinds)
    writer = Writer(options.output, options.seed, kinds, images)
    writer.write(0)  # compile once, not in every process
    # Each process gets the images once, not with every number.
    parts = [numbers[first :: options.workers] for first in range(options.workers)]
    processes = [Process(target=writer.write_all, args=(part,)) for part in parts]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return int(any(process.exitcode for process in processes))


if __name__ == "__main__":
    sys.exit(main())
