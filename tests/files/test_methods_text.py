"""The paragraph for a paper: exact, from the record of a model that was really trained."""

from dataclasses import asdict

import numpy as np
import pytest

from napari_unet import TrainingConfig, WeightConfig, load_starter, save_model, train
from napari_unet.files.networks.methods_text import methods_text
from napari_unet.files.networks.models import describe, read_info
from napari_unet.network.config import AugmentationConfig, UNetConfig
from napari_unet.network.training import train_events


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    image = np.random.default_rng(0).normal(size=(48, 48))
    paint = np.zeros((48, 48), int)
    paint[4:14, 4:14], paint[20:30, 20:30], paint[36:44, 4:44] = 2, 3, 1
    config = TrainingConfig(steps=2, network=UNetConfig(levels=1, features=2))
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    save_model(train([image], [paint], config), path)
    return read_info(path)


def test_it_says_what_the_file_knows(record):
    text, reference = methods_text(record).split("\n\n")
    versions = record["history"]["versions"]
    for phrase in (
        "2-D U-Net (Ronneberger et al., 2015) of 1 pooling step, 2 feature maps",
        f"({record['parameters']:,} parameters)",
        "percentiles 1 and 99.8",
        f"napari-unet {versions['napari-unet']} and PyTorch {versions['torch']}",
        "for 2 steps",
        "learning rate 0.005, seed 0",
        "balanced by inverse class frequency",
        "w0 = 3, sigma = 5 px",
        "at a threshold of 0.5",
    ):
        assert phrase in text
    assert "Ronneberger" in reference


def test_it_says_which_annotations_the_score_is_of(record):
    # Three strokes are too few to hold one out.
    text = methods_text(record)
    assert "(on too few strokes for an interval) on the annotations that it learnt from" in text
    for on, said in (
        ("held-out", "on annotations held out of the training."),
        ("validation", "on the annotations of images kept out of the training."),
        ("", " on annotations."),  # as in files of earlier releases
    ):
        assert said in methods_text(record | {"history": record["history"] | {"scored_on": on}})


def test_the_learning_rate_is_that_of_the_weights_a_starter_gave(record):
    training = record["training"] | {"learning_rate": 0.005, "body_rate": 0.2}
    assert "learning rate 0.001, seed 0" in methods_text(record | {"training": training})


def test_it_says_that_the_training_began_with_a_starter(record):
    starter = load_starter("cells")
    image = np.random.default_rng(0).normal(size=(48, 48))
    paint = np.zeros((48, 48), int)
    paint[4:14, 4:14], paint[36:44, 4:44] = 2, 1
    config = TrainingConfig(steps=1, patch_size=16, batch_size=1)
    *_, stopped = train_events([image], [paint], config, start=starter)
    origin = f"taken from the starter cells of napari-unet {starter.history.versions['napari-unet']}"
    *_, further = train_events([image], [paint], config, start=stopped.model, resume=stopped.state)
    assert f"Its first weights were {origin}. It was trained" in methods_text(describe(further.model))
    # Without its state, the earlier training is not in the history.
    again = train([image], [paint], config, start=stopped.model)
    before = "taken from a model that had been trained for 1 step, whose own were"
    assert f"Its first weights were {before} {origin}. It was trained" in methods_text(describe(again))
    assert "first weights" not in methods_text(record)


def test_of_a_starter_itself_it_claims_no_annotations():
    text = methods_text(describe(load_starter("cells")))
    assert "so that objects were 30 pixels wide" in text
    assert "trained on drawn and real micrographs" in text
    assert "first weights" not in text


def test_it_says_how_patches_were_changed(record):
    def told(**changes):
        augmentation = record["training"]["augmentation"] | changes
        return methods_text(record | {"training": record["training"] | {"augmentation": augmentation}})

    everything = ", and random flips, rotations, scaling, elastic deformations and intensity changes;"
    assert everything in told()
    none = asdict(AugmentationConfig.none())
    assert ", and random flips;" in told(**none | {"flip": True})
    assert "random" not in told(**none)
    assert ", and random scaling and intensity changes;" in told(**none | {"scale": 0.1, "noise": 0.1})
    assert ", and random intensity changes;" in told(**none | {"colour": 0.3})
    del record["training"]["augmentation"]["colour"]  # as in files of earlier releases
    assert "random" not in told(**none | {"colour": 0})
    assert everything in told()


def test_it_says_what_else_the_network_was_taught(record):
    assert not any(word in methods_text(record) for word in ("of the way back", "second output"))
    network, training = record["network"] | {"distance": True}, record["training"] | {"pull": 0.0658}
    text = methods_text(record | {"network": network, "training": training})
    assert "; every step took the weights 0.066 of the way back to the first ones; unannotated" in text
    assert "A second output, for training alone, learnt how deep pixels lie in their objects. The" in text


def test_it_claims_no_border_weights_and_no_objects_where_there_were_none(record):
    weights = record["training"]["weights"] | {"w0": 0.0, "class_balance": "none"}
    text = methods_text(record | {"training": record["training"] | {"weights": weights}, "mode": "classes"})
    assert "border" not in text
    assert "unbalanced" in text
    assert "Objects were read" not in text


def test_it_tells_of_the_weights_of_the_freiburg_plugin(record):
    weights = asdict(WeightConfig.preset("freiburg"))
    text = methods_text(record | {"training": record["training"] | {"weights": weights}})
    assert "classes unbalanced (weight 1, background 0.1) and a border weight map" in text
    assert "touching objects, in the background alone (w0 = 50, sigma = 6 px;" in text
    assert "close to objects (0.9, sigma = 10 px; Falk et al., Nature Methods 2019)." in text
    assert "Falk" not in methods_text(record)


def test_a_file_of_the_first_release_has_no_interval_sessions_or_reading(record):
    later = "sessions", "scored_on"
    history = {key: value for key, value in record["history"].items() if key not in later}
    history |= {"scores": [(history["best_step"], 1.0, 0.5, 0.7)], "started": ""}
    old = {key: value for key, value in record.items() if key != "instances"} | {"history": history}
    text = methods_text(old)
    assert "was 0.50 on annotations" in text
    assert "begun" not in text
