import hashlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from forging import forge
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from napari_unet.core.arrays.normalisation import Normalisation
from napari_unet.core.errors import InputError
from napari_unet.files.networks.models import load_model, read_info, save_model
from napari_unet.network.config import TrainingConfig, UNetConfig
from napari_unet.network.model import History, Model
from napari_unet.network.unet import UNet

CONFIG = UNetConfig(features=1, levels=1)


def make_model(config: UNetConfig = CONFIG, **changes: Any) -> Model:
    torch.manual_seed(0)
    history = History(
        losses=((1, 0.5, 0.7), (2, 1.0, float("inf"))),
        scores=((2, 1.0, 0.25, 0.5, 0.125, 0.75),),
        best_step=2,
        steps=2,
        seconds=1.5,
        device="CPU, 2 cores",
        started="2026-01-02T03:04:05+00:00",
        versions={"torch": "2.6", "naïve": '"quoted" and \\'},
    )
    model = Model(
        network=config,
        weights=UNet(config).state_dict(),
        normalisation=Normalisation(low=2.0, high=99.0),
        mode="objects",
        class_names=("background", "Zellkern µ"),
        training=TrainingConfig(seconds=2.0, spacing=(0.5, 0.25), network=config),
        history=history,
        pixel_size=(1.0, 0.5, 0.25)[-config.ndim :],
        origin="converted from elsewhere",
    )
    return replace(model, **changes)


def test_a_model_is_shown_without_its_many_numbers() -> None:
    shown = repr(make_model())
    assert "features=1" in shown
    assert "best_step=2" in shown
    assert not any(word in shown for word in ("tensor", "losses", "scores="))


def assert_equal(found: Model, expected: Model) -> None:
    for name in (field.name for field in fields(Model) if field.name != "weights"):
        assert getattr(found, name) == getattr(expected, name)
    assert found.weights.keys() == expected.weights.keys()
    for name, tensor in expected.weights.items():
        assert found.weights[name].dtype == tensor.dtype
        assert torch.equal(found.weights[name], tensor)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("models") / "small.safetensors"
    save_model(make_model(), path)
    return path.read_bytes()


unet_configs = st.builds(
    UNetConfig,
    ndim=st.sampled_from([2, 3]),
    in_channels=st.integers(1, 4),
    classes=st.just(2),
    levels=st.integers(1, 3),
    features=st.integers(1, 4),
    padding=st.sampled_from(["same", "valid"]),
    upsampling=st.sampled_from(["convolution", "nearest", "linear"]),
    pooling=st.sampled_from(["max", "average"]),
    norm=st.sampled_from(["batch", "none"]),
    dropout=st.floats(0, 1, exclude_max=True),
)


def test_a_history_of_the_first_release_has_scores_without_an_interval(tmp_path: Path, saved: bytes) -> None:
    path = tmp_path / "old"
    path.write_bytes(saved)
    forge(path, lambda record, _: record["history"].update(scores=[[2, 1.0, 0.25, 0.5]]))
    assert load_model(path).history.scores == ((2, 1.0, 0.25, 0.5),)


def test_a_model_of_the_first_release_opens(tmp_path: Path, saved: bytes) -> None:
    """It knew neither how its objects are best read, nor anything of the later parts."""
    path = tmp_path / "old"
    path.write_bytes(saved)

    def strip(record: dict[str, Any], _tensors: Any) -> None:
        for later in ("instances", "object_size", "pixel_size", "origin"):
            del record[later]
        del record["normalisation"]["method"]
        del record["training"]["normalisation"]["method"]
        del record["training"]["network"]["distance"]
        del record["network"]["distance"]

    forge(path, strip)
    assert_equal(load_model(path), make_model(pixel_size=None, origin=""))


@settings(max_examples=20, deadline=None)
@given(config=unet_configs, seconds=st.none() | st.floats(1e-3, 1e6), seed=st.integers(0, 2**40))
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory, config: UNetConfig, seconds: Any, seed: int
) -> None:
    path = tmp_path_factory.mktemp("models") / "any name"
    model = make_model(config, training=TrainingConfig(network=config, seconds=seconds, seed=seed))
    save_model(model, path)
    assert_equal(load_model(path), model)


def test_channels_last_weights_are_saved_as_they_are(tmp_path: Path) -> None:
    network = UNet(CONFIG).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model = make_model(weights=network.state_dict())
    save_model(model, tmp_path / "a.safetensors")
    assert_equal(load_model(tmp_path / "a.safetensors"), model)


def test_the_same_model_is_the_same_file_in_every_process(tmp_path: Path, saved: bytes) -> None:
    save_model(make_model(), tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == saved
    digest = json.loads(
        json.loads(saved[8 : 8 + int.from_bytes(saved[:8], "little")])["__metadata__"]["napari_unet"]
    )
    assert (
        digest["sha256"] == hashlib.sha256(saved.replace(digest["sha256"].encode(), b"0" * 64, 1)).hexdigest()
    )


def test_names_that_look_like_a_checksum_do_no_harm(tmp_path: Path) -> None:
    for name in ('"sha256":"' + "0" * 64 + '"', "0" * 64, '\\"sha256\\":\\"' + "0" * 64):
        model = make_model(class_names=(name, name), history=History(versions={name: name}))
        save_model(model, tmp_path / "a")
        assert_equal(load_model(tmp_path / "a"), model)


def test_info_is_everything_but_the_weights_without_torch(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    model = make_model()
    save_model(model, path)
    program = f"""
import json, sys
from napari_unet.files.networks.models import read_info
print(json.dumps(read_info({str(path)!r})))
assert "torch" not in sys.modules
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    info = json.loads(result.stdout)
    assert info["version"] == 1
    assert info["network"]["features"] == 1
    assert info["class_names"] == ["background", "Zellkern µ"]
    assert info["history"]["scores"] == [[2, 1.0, 0.25, 0.5, 0.125, 0.75]]
    assert info["pixel_size"] == [0.5, 0.25]
    assert info["history"]["versions"]["torch"] == "2.6"
    assert info["parameters"] == sum(tensor.numel() for tensor in model.weights.values())
    assert info == read_info(path)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda record, tensors: record.update(version=2), "update napari-unet"),
        (lambda record, tensors: record.update(version="1"), "is not a napari-unet model"),
        (lambda record, tensors: record.update(format="other"), "is not a napari-unet model"),
        (lambda record, tensors: record.pop("format"), "is not a napari-unet model"),
        (lambda record, tensors: record.pop("network"), "lacks network"),
        (lambda record, tensors: record.pop("history"), "lacks history"),
        (lambda record, tensors: record["network"].update(levels=0), "network.levels is 0"),
        (lambda record, tensors: record["network"].update(levels="2"), "network.levels is '2'"),
        (lambda record, tensors: record["network"].update(in_channels=10**30), "65535"),
        (lambda record, tensors: record["network"].update(classes=2**63), "65535"),
        (lambda record, tensors: record["network"].update(norm="group"), "give one of 'batch', 'none'"),
        (lambda record, tensors: record["network"].update(attention=True), "no setting 'attention'"),
        (lambda record, tensors: record["network"].update(features=2), "where its network has"),
        (lambda record, tensors: record["network"].update(levels=2), "weights of another network"),
        (
            lambda record, tensors: record["network"].update(levels=7, features=512),
            "weights of another network",
        ),
        (lambda record, tensors: record["normalisation"].update(low=100.0), "normalisation.low"),
        (lambda record, tensors: record["normalisation"].update(gamma=1), "no setting 'gamma'"),
        (lambda record, tensors: record.update(mode="boxes"), "mode is 'boxes'"),
        (lambda record, tensors: record.update(pixel_size=[0.0, 1.0]), "pixels of (0.0, 1.0)"),
        (lambda record, tensors: record.update(pixel_size=[1.0]), "pixels of (1.0,)"),
        (lambda record, tensors: record.update(class_names=["a"]), "names 1 classes"),
        (lambda record, tensors: record.update(class_names="ab"), "class_names is 'ab'"),
        (lambda record, tensors: record.update(training=None), "training is None"),
        (lambda record, tensors: record["history"].update(losses=[[1]]), "history.losses"),
        (lambda record, tensors: tensors["head.weight"].fill_(float("nan")), "not finite"),
        (lambda record, tensors: tensors["head.bias"].fill_(float("-inf")), "not finite"),
        (lambda record, tensors: tensors.pop("head.bias"), "'head.bias'"),
        (lambda record, tensors: tensors.update({"tail": torch.zeros(1)}), "'tail'"),
        (
            lambda record, tensors: tensors.update({"head.bias": torch.zeros(2, dtype=torch.float64)}),
            "float64",
        ),
    ],
)
def test_a_model_that_cannot_be_used_is_one_sentence(
    tmp_path: Path, saved: bytes, change: Callable[..., Any], word: str
) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(saved)
    forge(path, change)
    with pytest.raises(InputError) as caught:
        load_model(path)
    assert word in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_a_later_release_adds_to_the_record_is_left_out(tmp_path: Path, saved: bytes) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(saved)

    def add(record: dict[str, Any], tensors: Any) -> None:
        record["licence"] = "CC0"
        record["training"]["optimiser"] = "lion"
        record["training"]["network"]["attention"] = True
        record["history"]["carbon"] = 1.0

    forge(path, add)
    assert_equal(load_model(path), make_model())


OTHER_FILES = {
    "empty": b"",
    "short": b"\0" * 7,
    "zeros": b"\0" * 8,
    "pickle": b"\x80\x04\x95" * 20,
    "TIFF": b"II*\0" + b"\0" * 50,
    "no metadata": (2).to_bytes(8, "little") + b"{}",
    "null": (4).to_bytes(8, "little") + b"null",
    "deep": (10_000).to_bytes(8, "little") + b'{"a":' * 2_000,
    "text": b"{" * 100,
    "other safetensors": save({"a": torch.zeros(1)}),
    "other metadata": save({"a": torch.zeros(1)}, {"napari_unet": "[]"}),
}


@pytest.mark.parametrize("content", OTHER_FILES.values(), ids=OTHER_FILES.keys())
def test_other_files_are_said_to_be_other_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    for read in (load_model, read_info):
        with pytest.raises(InputError, match="is not a napari-unet model"):
            read(path)


def test_a_pickle_is_never_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    torch.save(Trap(), tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="is not a napari-unet model"):
        load_model(tmp_path / "a.safetensors")
    assert not (tmp_path / "sprung").exists()


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no model file"):
        load_model(tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="is a folder"):
        load_model(tmp_path)


def damage(data: bytes, chance: random.Random) -> bytes:
    """Flip a bit, change, remove or add a few bytes, or cut the end off."""
    position = chance.randrange(len(data))
    match chance.randrange(4):
        case 0:
            return (
                data[:position] + bytes([data[position] ^ (1 << chance.randrange(8))]) + data[position + 1 :]
            )
        case 1:
            return data[:position]
        case 2:
            return data[:position] + chance.randbytes(chance.randint(1, 16)) + data[position:]
        case _:
            return data[:position] + data[position + chance.randint(1, 16) :]


@pytest.mark.parametrize("rounds", [400, pytest.param(20_000, marks=pytest.mark.slow)])
def test_every_damage_is_noticed_and_said_in_one_sentence(tmp_path: Path, saved: bytes, rounds: int) -> None:
    path = tmp_path / "a.safetensors"
    chance = random.Random(rounds)  # noqa: S311 (a reproducible one is wanted)
    for _ in range(rounds):
        path.write_bytes(damage(saved, chance))
        with pytest.raises(InputError) as caught:
            load_model(path)
        assert "\n" not in str(caught.value)
        with pytest.raises(InputError):
            read_info(path)


def test_lists_of_models_need_not_read_their_weights(tmp_path: Path, saved: bytes) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(saved)
    whole = read_info(path)
    path.write_bytes(saved[:-1] + bytes([saved[-1] ^ 1]))
    assert read_info(path, verify=False) == whole
    for read in (read_info, load_model):
        with pytest.raises(InputError, match="its checksum does not match"):
            read(path)
    for other in (saved[:-1], saved + b"\0"):
        path.write_bytes(other)
        with pytest.raises(InputError, match="its length is wrong; use another copy of it"):
            read_info(path, verify=False)


def test_a_flip_of_any_bit_of_the_first_bytes_is_noticed(tmp_path: Path, saved: bytes) -> None:
    path = tmp_path / "a.safetensors"
    for position in range(40):
        for bit in range(8):
            path.write_bytes(saved[:position] + bytes([saved[position] ^ (1 << bit)]) + saved[position + 1 :])
            with pytest.raises(InputError):
                read_info(path)


def test_weights_that_could_not_be_loaded_are_not_saved_over_good_ones(tmp_path: Path, saved: bytes) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(saved)
    bad = {name: torch.full_like(tensor, float("nan")) if tensor.is_floating_point() else tensor
           for name, tensor in make_model().weights.items()}  # fmt: skip
    with pytest.raises(InputError, match="not finite"):
        save_model(make_model(weights=bad), path)
    with pytest.raises(InputError, match="another network"):
        save_model(make_model(weights={}), path)
    assert path.read_bytes() == saved
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="no resource limits")
def test_a_full_disk_keeps_the_last_good_model(tmp_path: Path, saved: bytes) -> None:
    """A limit on the size of files fails a write half-way, as a full disk does; Python ignores its signal."""
    import resource

    path = tmp_path / "a.safetensors"
    path.write_bytes(saved)
    large = make_model(UNetConfig(features=16, levels=2))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(InputError, match="File too large"):
            save_model(large, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes() == saved
    assert list(tmp_path.iterdir()) == [path]
