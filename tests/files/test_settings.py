from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.core.arrays.normalisation import Normalisation
from napari_unet.core.borders.weight_config import WeightConfig
from napari_unet.core.errors import InputError
from napari_unet.core.instances import InstanceConfig
from napari_unet.files.settings import Settings, override, read_settings, settings_text
from napari_unet.network.config import AugmentationConfig, PredictionConfig, TrainingConfig, UNetConfig

GENTLE = WeightConfig.preset("gentle")

positive = st.floats(1e-3, 1e3)
some_settings = st.builds(
    Settings,
    training=st.builds(
        TrainingConfig,
        mode=st.sampled_from(["objects", "classes"]),
        seconds=st.none() | positive,
        steps=st.none() | st.integers(1, 2**40),
        seed=st.integers(0, 2**31),
        patch_size=st.none() | st.integers(16, 512),
        learning_rate=st.floats(1e-9, 0.5),
        spacing=st.none() | st.tuples(positive, positive) | st.tuples(positive, positive, positive),
        network=st.builds(UNetConfig, ndim=st.sampled_from([2, 3]), features=st.integers(1, 64)),
        weights=st.builds(WeightConfig, w0=positive, sigma=positive, border_in_foreground=st.booleans()),
        augmentation=st.builds(AugmentationConfig, flip=st.booleans(), rotation=positive),
        normalisation=st.builds(Normalisation, low=st.floats(0, 49), high=st.floats(50, 100)),
    ),
    prediction=st.builds(
        PredictionConfig,
        tile_size=st.none() | st.integers(1, 4096),
        instances=st.builds(InstanceConfig, min_size=st.integers(1, 1000), fill_holes=st.booleans()),
    ),
)


@settings(max_examples=50, deadline=None)
@given(some_settings)
def test_a_file_of_all_settings_is_read_and_nothing_else_is_replaced(
    tmp_path_factory: pytest.TempPathFactory, original: Settings
) -> None:
    path = tmp_path_factory.mktemp("settings") / "a.toml"
    path.write_text(settings_text(original))
    assert read_settings(path) == original
    assert override(original, []) == original
    assert "[weights]\n" in path.read_text()


def test_every_optional_setting_is_unset_by_default() -> None:
    """TOML cannot say "not set", so leaving a setting out must mean just that."""

    def check(section: Any) -> None:
        for field, kind in zip(fields(section), get_type_hints(type(section)).values(), strict=True):
            value = getattr(section, field.name)
            if is_dataclass(value):
                check(value)
            elif type(None) in getattr(kind, "__args__", ()):
                assert value is None, field.name

    check(Settings())


def test_a_file_may_hold_a_few_settings_only(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[weights]\nsigma = 3\n[instances]\nmin_size = 4\n")
    for base in (None, Settings()):
        read = read_settings(tmp_path / "a.toml", base)
        assert read.training == TrainingConfig(weights=replace(GENTLE, sigma=3.0))
        assert read.prediction == PredictionConfig(instances=InstanceConfig(min_size=4))


def test_a_file_may_begin_with_the_mark_of_an_editor(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[weights]\nsigma = 4\n", encoding="utf-8-sig")
    assert read_settings(tmp_path / "a.toml").training.weights.sigma == 4


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"[weight]\nsigma = 3", "There is no section 'weight'; did you mean 'weights'?"),
        (b"[weights]\nsigmaa = 3", "weights has no setting 'sigmaa'; did you mean 'sigma'?"),
        (b"[weights]\nsigma = '3'", "weights.sigma is '3'; give a number."),
        (b"[weights]\nsigma = 0", "weights.sigma is 0.0; choose"),
        (b"[weights]\nsigma = nan", "weights.sigma is nan; choose"),
        (b"weights = 3", "weights is 3; give a section"),
        (b"sigma = 3", "There is no section 'sigma'; choose one of 'training'"),
        (b"[training]\nmode = 'object'", "training.mode is 'object'; give one of 'objects', 'classes'."),
        (b"[training.network]\nlevels = 3", "training.network is a section of its own; write [network]."),
        (b"[network]\nlevels = 1979-05-27", "network.levels is"),
        (b"[weights\n", "is not valid TOML"),
        (b"\xff\xfe", "is not UTF-8 text; save it with this encoding"),
        (b"a = " + b"[" * 5000, "is not valid TOML"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_settings(path)
    assert sentence in str(caught.value)
    assert str(path) in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.toml could not be read"):
        read_settings(tmp_path / "a.toml")


@pytest.mark.parametrize(
    ("assignments", "expected"),
    [
        (["weights.sigma=3"], TrainingConfig(weights=replace(GENTLE, sigma=3.0))),
        (["weights.sigma = 3.5 "], TrainingConfig(weights=replace(GENTLE, sigma=3.5))),
        (["training.mode=classes"], TrainingConfig(mode="classes")),
        (["training.mode='classes'"], TrainingConfig(mode="classes")),
        (["augmentation.flip=false"], TrainingConfig(augmentation=AugmentationConfig(flip=False))),
        (["training.spacing=[1, 0.5]"], TrainingConfig(spacing=(1.0, 0.5))),
        (["training.steps=5", "training.steps=6"], TrainingConfig(steps=6)),
        (["training.steps=5", "training.steps="], TrainingConfig()),
        (
            ["normalisation.low=99.9", "normalisation.high=100"],
            TrainingConfig(normalisation=Normalisation(99.9, 100.0)),
        ),
    ],
)
def test_overrides(assignments: list[str], expected: TrainingConfig) -> None:
    original = Settings()
    assert override(original, assignments).training == expected
    assert original == Settings()


@pytest.mark.parametrize(
    ("assignment", "sentence"),
    [
        ("weights.sigma", "'weights.sigma' is not a setting; write section.key=value"),
        ("sigma=3", "is not a setting; write section.key=value"),
        (".sigma=3", "is not a setting"),
        ("weights.=3", "is not a setting"),
        ("=", "is not a setting"),
        ("weight.sigma=3", "There is no section 'weight'; did you mean 'weights'?"),
        ("weights.sigmo=3", "did you mean 'sigma'?"),
        ("weights.sigma=wide", "weights.sigma is 'wide'; give a number."),
        ("weights.sigma=", "weights.sigma is None; give a number."),
        ("weights.sigma=1\nw0=3", "weights.sigma is"),
        ("weights.sigma=" + "[" * 5000, "weights.sigma is"),
        ("training.network={levels = 3}", "training.network is a section of its own"),
        ("training.network.levels=3", "training has no setting 'network.levels'"),
    ],
)
def test_overrides_that_cannot_be_used(assignment: str, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        override(Settings(), [assignment])
    assert sentence in str(caught.value)
    assert len(str(caught.value)) < 300


def test_what_a_file_leaves_out_is_as_in_the_base(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[training]\nseed = 3\n[weights]\nsigma = 2.0\n")
    training = TrainingConfig(seed=1, learning_rate=0.01, weights=WeightConfig(w0=4.0))
    found = read_settings(tmp_path / "a.toml", Settings(training)).training
    assert found == replace(training, seed=3, weights=WeightConfig(w0=4.0, sigma=2.0))
