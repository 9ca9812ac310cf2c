"""How soon predicted objects follow a slider, without running the network again.

    xvfb-run -a python benchmarks/live_objects.py [--hidden]

A real viewer, 2048x2048 pixels, 2,000 touching objects, the Predict dock with a result. Objects have arrived
when the label layer holds all of the new ones and has notified the canvas. With ``--hidden`` the window is
not shown and nothing is drawn, which leaves only the plugin's own time. Besides wall time, processor time is
given, including drawing; it says more on a busy machine.
"""

import sys
import time
from collections.abc import Callable
from statistics import median

import napari
import numpy as np

from border_weights import make_cells, make_probabilities
from napari_unet.core.instances import InstanceConfig, Landscape, find_objects
from napari_unet.core.objects.rereading import Rereading
from napari_unet.widgets.bridge.layers import add_result
from napari_unet.widgets.predict import PredictDock
from weights_preview import until, wait

SIDE, OBJECTS = 2048, 2000
WARM_UP, CHANGES = 3, 20
BAR_MS = 300


def report(name: str, seconds: list[tuple[float, float]], bar: float | None = None) -> bool:
    """Print a row: median and worst wall time, median processor time; return whether the bar is met."""
    wall, processor = ([1000 * value for value in column] for column in zip(*seconds[WARM_UP:], strict=True))
    met = bar is None or median(wall) <= bar
    verdict = "| |" if bar is None else f"<= {bar:.0f} ms | {'met' if met else 'short'} |"
    print(f"| {name} | {median(wall):.0f} ms | {max(wall):.0f} ms | {median(processor):.0f} ms | {verdict}")
    return met


def repeat(work: Callable[[int], object]) -> list[tuple[float, float]]:
    """Return the wall time and the processor time of each call."""
    seconds = []
    for number in range(WARM_UP + CHANGES):
        start = time.perf_counter(), time.process_time()
        work(number)
        seconds.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    return seconds


def main() -> int:
    """Measure and print; 1 if the bar is not met."""
    probability = make_probabilities(make_cells((SIDE, SIDE), OBJECTS))
    viewer = napari.Viewer(show="--hidden" not in sys.argv)
    image = viewer.add_image(probability, name="cells")
    dock = PredictDock(viewer)
    viewer.window.add_dock_widget(dock, name="Predict")
    dock.image.choose(image)
    form = dock.form.objects
    layer = add_result(viewer, image, "objects", find_objects(probability, form.config, ndim=2))
    if layer is None:
        raise RuntimeError("The result was not added.")
    dock._live.remember(image, layer, Rereading.of(probability[np.newaxis], 2))
    wait(2)
    told: list[int] = []
    layer.events.set_data.connect(lambda _event: told.append(1))

    def change(set_value: Callable[[int], object]) -> list[tuple[float, float]]:
        def work(number: int) -> None:
            told.clear()
            set_value(number)
            until(lambda: bool(told))

        seconds = []
        for number in range(WARM_UP + CHANGES):
            start = time.perf_counter(), time.process_time()
            work(number)
            seconds.append((time.perf_counter() - start[0], time.process_time() - start[1]))
            wait(0.3)
        expected = find_objects(probability, form.config, ndim=2)
        np.testing.assert_array_equal(layer.data, expected)
        return seconds

    split = change(lambda number: form._split.setValue(50 + number))
    size = change(lambda number: form._min_size.setValue(20 + 5 * number))
    threshold = change(lambda number: form._threshold.setValue(0.3 + 0.01 * number))
    config = InstanceConfig()
    landscape = Landscape.of(probability, config)
    print(f"{layer.data.max():,} objects\n")
    print("| 2048², 2,000 touching objects | median | worst | processor | bar | |\n|---|---|---|---|---|---|")
    met = report("Split touching to objects on the layer", split, BAR_MS)
    met &= report("Smallest object to objects on the layer", size, BAR_MS)
    report("Threshold to objects on the layer (a new landscape)", threshold)
    report("of it reading objects from a landscape", repeat(lambda _number: landscape.objects(config)))
    report("of it surveying the landscape", repeat(lambda _number: Landscape.of(probability, config)))
    viewer.close()
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
