"""What a paper should say about a model, written from its file, so that nothing has to be remembered."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

_UPSAMPLING = {
    "convolution": "transposed convolutions",
    "nearest": "nearest-neighbour upsampling",
    "linear": "linear upsampling",
    "aligned": "linear upsampling with aligned corners",
}
_SEPARATION = {
    "probability": "how far the foreground probability falls between them",
    "shape": "the waist between them",
    "both": "the waist between them and how far the foreground probability falls there",
}

_CHANGES = {
    "flip": "flips",
    "rotation": "rotations",
    "scale": "scaling",
    "elastic": "elastic deformations",
}
_BALANCE = {
    "auto": "balanced by inverse class frequency where annotations were not complete",
    "inverse": "balanced by inverse class frequency",
    "none": "unbalanced",
}
_INTENSITIES = ("brightness", "contrast", "gamma", "noise", "colour")

_SCORED_ON = {
    "held-out": "annotations held out of the training",
    "training": "the annotations that it learnt from, as none were held out",
    "validation": "the annotations of images kept out of the training",
}

REFERENCE = (
    "Ronneberger, O., Fischer, P. & Brox, T. (2015). U-Net: Convolutional Networks for Biomedical Image "
    "Segmentation. MICCAI, LNCS 9351, 234-241."
)


def methods_text(record: Mapping[str, Any]) -> str:
    """Return a paragraph for the methods section of a paper, an empty line, and the reference it cites.

    ``record`` is that of a model file, as :func:`napari_unet.files.networks.models.read_info` returns it. The
    authors should add which images were painted, and how much.
    """
    sentences = [
        _network(record["network"], record["parameters"]),
        _intensities(record["normalisation"], record.get("object_size")),
        *_teaching(record),
        _score(record["history"]),
        _objects(record),
    ]
    return " ".join(filter(None, sentences)) + f"\n\n{REFERENCE}"


def _network(network: Mapping[str, Any], parameters: int) -> str:
    norm = "batch normalisation" if network["norm"] == "batch" else "no normalisation layers"
    padding = "zero-padded" if network["padding"] == "same" else "unpadded"
    return (
        f"Images were segmented with a {network['ndim']}-D U-Net (Ronneberger et al., 2015) of "
        f"{network['levels']} pooling step{'s' * (network['levels'] != 1)}, {network['features']} feature "
        f"maps at full resolution, {padding} convolutions, {norm} and {_UPSAMPLING[network['upsampling']]} "
        f"({parameters:,} parameters)."
    )


def _intensities(normalisation: Mapping[str, Any], object_size: float | None) -> str:
    method = normalisation.get("method", "percentiles")
    if method == "range":
        return "Intensities were divided by the largest value of their bit depth."
    if method == "deviations":
        return "Each channel of the whole image was scaled to mean 0 and standard deviation 1."
    scaled = f" Images were scaled so that objects were {object_size:g} pixels wide." if object_size else ""
    return (
        f"Intensities were scaled so that percentiles {normalisation['low']:g} and {normalisation['high']:g} "
        f"of each channel of the whole image became 0 and 1.{scaled}"
    )


def _teaching(record: Mapping[str, Any]) -> tuple[str, ...]:
    if record["history"]["steps"] == 0:
        return (f"Its weights were {record.get('origin') or 'made elsewhere'}.",)
    training = record["training"]
    learnt, first = "sparse manual annotations", ""
    if record.get("object_size"):
        learnt = "drawn and real micrographs, as a starter that comes with napari-unet,"
    elif record.get("origin"):
        first = f"Its first weights were {record['origin']}."
    loss = _loss(training["weights"], record["mode"], distance=record["network"]["distance"])
    return first, _training(learnt, training, record["history"]), loss


def _training(learnt: str, training: Mapping[str, Any], history: Mapping[str, Any]) -> str:
    versions = history["versions"]
    made_with = " and ".join(
        f"{label} {versions[name]}"
        for name, label in (("napari-unet", "napari-unet"), ("torch", "PyTorch"))
        if name in versions
    )
    sessions = len(history.get("sessions") or ()) or 1
    in_sessions = f" in {sessions} sessions" if sessions > 1 else ""
    day = datetime.fromisoformat(history["started"]) if history["started"] else None
    began = f", begun on {day.day} {day:%B %Y}" if day else ""
    changes = training["augmentation"]
    random = [name for key, name in _CHANGES.items() if changes[key]]
    random += ["intensity changes"] * any(changes.get(key) for key in _INTENSITIES)  # earlier files lack some
    listed = " and ".join(filter(None, [", ".join(random[:-1]), *random[-1:]]))
    augmented = f", and random {listed}" if random else ""
    pull = training.get("pull")
    pulled = f"; every step took the weights {pull:.2g} of the way back to the first ones" if pull else ""
    rate = training["learning_rate"] * (training.get("body_rate") or 1)
    return (
        f"It was trained on {learnt} with {made_with or 'napari-unet'} for "
        f"{history['steps']:,} steps ({history['seconds'] / 60:.1f} min{in_sessions} on {history['device']}"
        f"{began}) with AdamW (learning rate {rate:g}, seed {training['seed']}), an "
        f"exponential moving average of the weights{augmented}{pulled}; unannotated pixels did not enter the "
        "loss."
    )


def _loss(weights: Mapping[str, Any], mode: str, *, distance: bool) -> str:
    balance = _BALANCE[weights["class_balance"]]
    terms = [f"The loss was cross-entropy with classes {balance}"]
    if (weights["foreground"], weights["background"]) != (1, 1):
        terms[0] += f" (weight {weights['foreground']:g}, background {weights['background']:g})"
    if weights["w0"]:
        between = "objects" if mode == "objects" else "objects of the classes"
        where = "" if weights["border_in_foreground"] else ", in the background alone"
        terms.append(
            f"a border weight map between touching {between}{where} (w0 = {weights['w0']:g}, sigma = "
            f"{weights['sigma']:g} px; Ronneberger et al., 2015)"
        )
    if weights["halo"]:
        terms.append(
            f"a higher weight of the background close to objects ({weights['halo']:g}, sigma = "
            f"{weights['halo_sigma']:g} px; Falk et al., Nature Methods 2019)"
        )
    depth = " A second output, for training alone, learnt how deep pixels lie in their objects." * distance
    return " and ".join(terms) + f".{depth}"


def _score(history: Mapping[str, Any]) -> str:
    kept: Sequence[Sequence[float]] = [
        score for score in history["scores"] if score[0] == history["best_step"]
    ]
    if not kept:
        return ""
    _, _, score, _, *interval = kept[-1]
    spread = " (90 % interval {:.2f} to {:.2f})".format(*interval) if interval else ""
    if interval == [0, 1]:
        spread = " (on too few strokes for an interval)"
    # Files of earlier releases lack this.
    where = _SCORED_ON.get(history.get("scored_on", ""), "annotations")
    return (
        f"The weights of step {history['best_step']:,} were kept; their mean intersection over union "
        f"was {score:.2f}{spread} on {where}."
    )


def _objects(record: Mapping[str, Any]) -> str:
    reading = record.get("instances")
    if record["mode"] != "objects" or not reading:
        return ""
    holes = ", and holes were filled" if reading["fill_holes"] else ""
    return (
        f"Objects were read from the probabilities at a threshold of {reading['threshold']:g}; touching "
        f"objects were separated by {_SEPARATION.get(reading['separate_by'], 'their shape')}, objects "
        f"of fewer than {reading['min_size']} pixels, each counted by how far its probability is above the "
        f"threshold, were left out{holes}."
    )
