"""Training as scripts and notebooks do: whatever holds the pixels, in threads, forked, interrupted."""

import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from napari_unet.core.errors import InputError
from napari_unet.core.weights import border_weights
from napari_unet.files.networks.starters import load_starter
from napari_unet.network import news
from napari_unet.network.config import PredictionConfig, TrainingConfig, UNetConfig
from napari_unet.network.learning import transfer
from napari_unet.network.learning.learner import Learner
from napari_unet.network.model import Model
from napari_unet.network.prediction import predict
from napari_unet.network.training import train
from napari_unet.network.unet import UNet

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK = TrainingConfig(
    steps=2, patch_size=32, batch_size=1, network=UNetConfig(features=2, levels=2), precision="float32"
)


def painted() -> tuple[np.ndarray, np.ndarray]:
    """Return an image of five bright squares on noise, and paint of them and of the background."""
    image = np.random.default_rng(0).integers(0, 50, (64, 72)).astype(np.uint8)
    paint = np.zeros((64, 72), np.int32)
    paint[:4], paint[:, 66:] = 1, 1
    for value in range(2, 7):
        square = slice(12 * value - 18, 12 * value - 10), slice(10 * value - 10, 10 * value - 2)
        image[square] += 120
        paint[square] = value
    return image, paint


IMAGE, PAINT = painted()
MASKED = np.ma.masked_array(np.where(PAINT > 0, PAINT, 3), PAINT == 0)


def of_objects(item: np.ndarray) -> np.ndarray:
    result = np.empty(1, object)
    result[0] = item
    return result


def same(first: Model, second: Model) -> bool:
    return all(torch.equal(values, second.weights[name]) for name, values in first.weights.items())


@pytest.fixture
def model() -> Model:
    """Train with as many threads as the tests do: on some processors several add up in another order."""
    return train([IMAGE], [PAINT], QUICK)


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize(
    ("images", "paints"),
    [
        (lambda: (IMAGE,), lambda: (PAINT.astype(np.uint64),)),
        (lambda: iter([IMAGE]), lambda: map(np.asfortranarray, [PAINT])),
        (lambda: [IMAGE.tolist()], lambda: [PAINT.tolist()]),
        (lambda: [torch.from_numpy(IMAGE)], lambda: [torch.from_numpy(PAINT)]),
        (lambda: [pd.DataFrame(IMAGE)], lambda: [pd.DataFrame(PAINT)]),
        (lambda: [xr.DataArray(IMAGE)], lambda: [xr.DataArray(PAINT).chunk({"dim_0": 20})]),
        (lambda: [np.asmatrix(IMAGE)], lambda: [np.asmatrix(PAINT)]),
        (lambda: of_objects(IMAGE), lambda: pd.Series([PAINT])),
        (lambda: [np.ma.masked_array(IMAGE)], lambda: [MASKED]),
    ],
    ids=["tuples", "iterators", "nested", "tensors", "pandas", "xarray", "matrices", "objects", "masked"],
)
def test_whatever_holds_the_pixels_the_model_is_the_same(model: Model, images: Any, paints: Any) -> None:
    assert same(train(images(), paints(), QUICK), model)


@pytest.mark.parametrize(
    ("images", "paints", "options", "said"),
    [
        (IMAGE, PAINT, {}, r"The images are one array of shape \(64, 72\); give a list"),
        (None, [PAINT], {}, "The images are None; give a list"),
        ("images/*.tif", [PAINT], {}, r"The images are names such as 'images/\*.tif'; give their pixels"),
        ([IMAGE], [Path("a.tif")], {}, "The paints are names such as 'a.tif'; give their pixels"),
        ([IMAGE], [PAINT], {"validation": [(IMAGE, PAINT)]}, "The validation is not a pair; give two lists"),
        ([IMAGE], [PAINT], {"validation": (IMAGE, PAINT)}, "The validation images are one array"),
        ([IMAGE], [PAINT], {"validation": 0.2}, "The validation is not a pair; .* or set held_out"),
        ([IMAGE], [PAINT], {"full": [2]}, "full is 2 for an image; give True, False, or the values"),
        ([IMAGE], [PAINT], {"full": ["all"]}, "full is 'all' for an image; give True, False, or the values"),
        ([IMAGE], [PAINT], {"full": [[[2]]]}, r"full is \[\[2\]\] for an image; give"),
        ([IMAGE], [PAINT], {"full": 1}, r"full is 1; give it for each image, in a list such as \[True\]"),
        ([IMAGE], [None], {}, "The paint is None; give the pixels"),
        ([IMAGE], [["a.tif"]], {}, "The paint is a list of names such as 'a.tif'; give the pixels"),
        ([IMAGE], [PAINT], {"progress": True}, "progress is True; give a function that takes a text"),
        ([torch.ones(64, 72, requires_grad=True)], [PAINT], {}, "an array of Tensor.* Use tensor.detach"),
    ],
)  # fmt: skip
def test_what_cannot_be_learnt_from_is_told(images: Any, paints: Any, options: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        train(images, paints, QUICK, **options)


def test_whether_all_is_full_may_come_from_an_array() -> None:
    full = train([IMAGE], [PAINT], QUICK, full=[True])
    assert same(train([IMAGE], [PAINT], QUICK, full=np.array([True])), full)
    some = train([IMAGE], [PAINT], QUICK, full=[{2}])
    assert same(train([IMAGE], [PAINT], QUICK, full=[np.array([2, 2])]), some)
    assert not same(some, full)


def test_what_a_training_warns_of_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    train([np.full_like(IMAGE, 7)], [PAINT], QUICK)
    assert any("of one brightness throughout" in message for message in caplog.messages)
    assert not any("astype(int) + 1" in message for message in caplog.messages)


def test_labels_in_place_of_paint_are_told(caplog: pytest.LogCaptureFixture) -> None:
    train([IMAGE], [np.where(PAINT > 1, PAINT - 1, 0)], QUICK)
    assert any("give labels.astype(int) + 1" in message for message in caplog.messages)


def test_a_training_tells_how_it_goes_if_asked(capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    config = replace(QUICK, steps=6, patience=None)
    told = train([IMAGE], [PAINT], config, progress=said.append)
    assert said[0].startswith(f"1 image, {np.count_nonzero(PAINT)} painted pixels; CPU")
    assert re.fullmatch(r"\d s, step 6: score 0\.\d\d \(.*\) on .*, loss \d\.\d{3}", said[-1])
    assert same(train([IMAGE], [PAINT], config), told)
    assert capsys.readouterr() == ("", "")


def test_a_prediction_tells_how_it_goes_if_asked(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []
    starter, in_tiles = load_starter("cells"), PredictionConfig(tile_size=32, object_size=15)
    predict(starter, IMAGE, in_tiles, progress=said.append)
    assert said == ["Objects are taken to be 15 pixels wide, as given."]
    monkeypatch.setattr(news, "_TILES_EVERY_S", 0.0)
    predict(starter, IMAGE, in_tiles, progress=said.append)
    assert said[-1] == "0 s: 6 of 6 tiles, 100% of the image"
    assert not caplog.messages
    predict(starter, np.zeros((64, 64), np.uint8))
    assert ["by a starter that is not sure" in message for message in caplog.messages] == [True]
    assert capsys.readouterr() == ("", "")
    with pytest.raises(InputError, match="progress is True; give a function that takes a text"):
        predict(starter, IMAGE, progress=True)  # type: ignore[arg-type]


@pytest.mark.parametrize("at", [1, 3])
def test_an_interrupt_ends_a_training_with_its_network(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, at: int
) -> None:
    steps = []
    step = Learner.step

    def interrupted(learner: Learner, *arguments: Any, **options: Any) -> Any:
        result = step(learner, *arguments, **options)
        steps.append(result)
        if len(steps) == at:
            signal.raise_signal(signal.SIGINT)
        return result

    monkeypatch.setattr(Learner, "step", interrupted)
    config = TrainingConfig(steps=1000, patch_size=32, batch_size=1, network=QUICK.network)
    assert train([IMAGE], [PAINT], config).history.steps == len(steps) == at
    assert f"Interrupted; the network is the best of {at} steps." in caplog.messages
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_interrupt_and_one_before_the_first_step_end_it_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def twice(*_: Any, **__: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "step", twice)
        with pytest.raises(KeyboardInterrupt):
            train([IMAGE], [PAINT], QUICK)

    class Interrupting:
        dtype, shape = IMAGE.dtype, IMAGE.shape

        def __getitem__(self, key: Any) -> Any:
            signal.raise_signal(signal.SIGINT)
            return IMAGE[key]

    with pytest.raises(KeyboardInterrupt):
        train([Interrupting(), IMAGE], [PAINT, PAINT], QUICK)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(("at", "best"), [(9, 5), (2, None)])
def test_an_error_has_the_best_network_if_there_is_one(
    monkeypatch: pytest.MonkeyPatch, at: int, best: int | None
) -> None:
    steps = []
    step = Learner.step

    def failing(learner: Learner, *arguments: Any, **options: Any) -> Any:
        steps.append(step(learner, *arguments, **options))
        if len(steps) == at:
            raise MemoryError
        return steps[-1]

    monkeypatch.setattr(Learner, "step", failing)
    with pytest.raises(MemoryError) as caught:
        train([IMAGE], [PAINT], replace(QUICK, steps=20))
    model = getattr(caught.value, "model", None)
    notes = "".join(getattr(caught.value, "__notes__", ()))
    assert (best is None) == (model is None) == (not notes)
    if best is not None:
        assert isinstance(model, Model)
        assert model.history.best_step == best
        assert f"best network of {at} steps" in notes
        assert predict(model, IMAGE).objects.shape == IMAGE.shape


def test_the_interrupts_of_a_host_are_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    came = []
    step = Learner.step

    def interrupted(*arguments: Any, **options: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return step(*arguments, **options)

    monkeypatch.setattr(Learner, "step", interrupted)
    before = signal.signal(signal.SIGINT, lambda *_: came.append(True))
    try:
        assert train([IMAGE], [PAINT], QUICK).history.steps == 2
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(came) == 2


def test_trainings_in_threads_are_those_of_their_seeds(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly(config: UNetConfig) -> UNet:
        time.sleep(0.05)  # so that another thread could seed or draw meanwhile
        return UNet(config)

    monkeypatch.setattr(transfer, "UNet", slowly)
    with ThreadPoolExecutor(4) as pool:
        for trained in pool.map(lambda _: train([IMAGE], [PAINT], QUICK), range(4)):
            assert same(trained, model)


NO_COMPILER = """
import sys
import numpy as np
from napari_unet import TrainingConfig, UNetConfig, predict, train

image = np.arange(4096, dtype=np.uint8).reshape(64, 64)
paint = np.zeros((64, 64), int)
paint[:8], paint[20:40, 20:40] = 1, 2
network = UNetConfig(features=2, levels=1)
model = train([image], [paint], TrainingConfig(steps=26, patch_size=32, batch_size=1, network=network))
predict(model, image)
sys.exit("torch._dynamo" in sys.modules)
"""


def test_a_training_does_not_wait_for_the_compiler_of_torch() -> None:
    run = [sys.executable, "-c", NO_COMPILER]
    assert subprocess.run(run, timeout=60, check=False).returncode == 0


FORKED = """
import multiprocessing, sys
import numpy as np, torch
from napari_unet import load_model, predict

model, image = load_model(sys.argv[1]), np.arange(90000, dtype=np.uint16).reshape(300, 300)
def segment():
    predict(model, image)
torch.set_num_threads(2)
torch.ones(4096, 4096).exp_()  # makes the threads that a fork loses
segment()
child = multiprocessing.get_context("fork").Process(target=segment)
child.start()
child.join()
sys.exit(child.exitcode)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks")
def test_a_process_that_was_forked_does_not_wait_for_threads_it_has_not(model: Model, tmp_path: Path) -> None:
    from napari_unet.files.networks.models import save_model

    save_model(model, tmp_path / "m.safetensors")
    run = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKED, str(tmp_path / "m.safetensors")]
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    assert subprocess.run(run, timeout=60, check=False, env=environment).returncode == 0


def test_what_a_prediction_reads_may_be_masked(model: Model) -> None:
    covered = np.ma.masked_array(IMAGE, IMAGE > 100)
    expected = predict(model, np.where(IMAGE > 100, 0, IMAGE)).probabilities
    np.testing.assert_array_equal(predict(model, covered).probabilities, expected)


@pytest.mark.parametrize("spacing", [(1, None), ["1 µm", "1 µm"]])
def test_a_pixel_size_that_is_no_number_is_told(spacing: Any) -> None:
    with pytest.raises(InputError, match=r"The pixel size is .*; give one number for each axis"):
        border_weights(PAINT, spacing=spacing)
