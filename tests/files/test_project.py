"""What `project.toml` says is read back as it was, and hostile or foreign files end in a sentence."""

import tomllib
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from napari_unet.core.errors import InputError
from napari_unet.files.networks.models import model_path
from napari_unet.files.projects.project import (
    FILE,
    LayerLook,
    Project,
    ProjectImage,
    ProjectLabels,
    ProjectRegions,
    check_name,
    is_project,
    plain_name,
    project_folder,
    project_text,
    read_project,
    write_project,
)

LOOK = LayerLook(
    "cells ✂",
    order=1,
    scale=(2.0, 0.5),
    rotate=((1.0, 0.0), (0.0, 1.0)),
    units=("pixel", "um"),
    visible=False,
    contrast_limits=(0.0, 4095.0),
    colormap="green",
)
IMAGE = ProjectImage(
    "cells",
    LOOK,
    (64, 48),
    "uint16",
    path="../data/cells 1.tif",
    absolute="/data/cells 1.tif",
    reader="napari",
    sample="0badcafe",
    size=123,
    part_of="slide",
    first_pixel=(0, 128),
)
PAINT = ProjectLabels(
    "cells.zarr",
    "cells",
    LayerLook("cells paint"),
    mode="classes",
    filled=True,
    accepted=((2, 4_000_000_000),),
)
OBJECTS = ProjectLabels(
    "cells objects.zarr", "cells", LayerLook("o"), "objects", predicted="p.zarr", planes=((0,), (2,))
)
REGIONS = ProjectRegions("cells", LayerLook("r"), ("polygon",), (((0.0, 1.5), (2.0, 3.0), (4.0, 5.0)),))
PROJECT = Project("abc", (IMAGE,), (PAINT, OBJECTS), (REGIONS,), "cells 1.safetensors", "cells")


def test_all_is_read_back(tmp_path):
    write_project(tmp_path, PROJECT)
    assert read_project(tmp_path) == PROJECT
    assert read_project(tmp_path).labels[0].full.accepted == {(2, 4_000_000_000)}
    # Edited with an editor of Windows, which puts a mark before the text.
    (tmp_path / FILE).write_text((tmp_path / FILE).read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert read_project(tmp_path) == PROJECT


@pytest.mark.parametrize("name", ["cells [1]", "C1-Zellen #3 & Größe", "a" * 300, "Zelle\udce4", "a'b"])
def test_a_project_knows_models_and_images_of_any_name(tmp_path, name):
    model = model_path(tmp_path, name, datetime(2026, 1, 2)).name
    image = replace(IMAGE, path=f"../{name}.tif", look=replace(IMAGE.look, name=name))
    project = replace(PROJECT, images=(image,), model=model)
    assert write_project(tmp_path, project) == project_text(project)
    assert read_project(tmp_path) == project
    tomllib.loads((tmp_path / FILE).read_text(encoding="utf-8"))  # as other programs do


def test_an_empty_project_is_read_back(tmp_path):
    write_project(tmp_path, Project("abc"))
    assert read_project(tmp_path) == Project("abc")


def test_it_is_text_to_be_read(tmp_path):
    write_project(tmp_path, Project("abc", (replace(IMAGE, look=LayerLook("cells")),)))
    text = (tmp_path / FILE).read_text(encoding="utf-8")
    assert 'format = "napari-unet project"\nversion = 1\n' in text
    assert 'path = "../data/cells 1.tif"' in text
    assert "opacity" not in text  # what is as always is not said


def test_what_a_later_release_adds_is_passed_over(tmp_path):
    write_project(tmp_path, PROJECT)
    with (tmp_path / FILE).open("a", encoding="utf-8") as file:
        file.write(
            '\n[[images]]\nkey = "b"\nshape = [1, 1]\ndtype = "uint8"\nlater = 1\nlook = {name = "b"}\n'
        )
    assert [image.key for image in read_project(tmp_path).images] == ["cells", "b"]


HEAD = 'format = "napari-unet project"\nversion = 1\n'
SOME_IMAGE = (
    '[[images]]\nkey = "{key}"\nshape = {shape}\ndtype = "uint8"\nlook = {{name = "a"}}\nkept = "{kept}"\n'
)
SOME_PAINT = (
    '[[labels]]\nfile = "{file}"\nimage = "a"\nlook = {{name = "a paint"}}\npredicted = "{predicted}"\n'
)


def text_of(*, key="a", shape="[4, 4]", kept="a.tif", file="a.zarr", predicted="", model=""):
    image, paint = SOME_IMAGE.format(key=key, shape=shape, kept=kept), SOME_PAINT
    return HEAD + f'model = "{model}"\n' + image + paint.format(file=file, predicted=predicted)


OUTSIDE = [
    "../../etc/passwd",
    "/etc/passwd",
    "..",
    ".hidden",
    "a/b",
    "a\\\\b",
    "C:a",
    "nul",
    "COM1.txt",
    "a ",
    "a.",
]


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("where", ["kept", "file", "predicted", "model"])
def test_names_that_lead_elsewhere_are_refused(tmp_path, where, name):
    (tmp_path / FILE).write_text(text_of(**{where: name}), encoding="utf-8")
    with pytest.raises(InputError, match=r"plain name of a file in the project; correct it\.$"):
        read_project(tmp_path)


def test_they_are_not_written_either(tmp_path):
    with pytest.raises(InputError, match="plain name"):
        write_project(tmp_path, replace(PROJECT, labels=(replace(PAINT, file="../cells.zarr"),)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "does not belong to a napari-unet project"),
        ("not toml", "is damaged"),
        ('format = "napari-unet project"\nversion = "1"\n', "does not belong"),
        (
            HEAD.replace("1", "2"),
            "has project version 2 and this napari-unet reads up to 1; update napari-unet.",
        ),
        (HEAD + "images = 3\n", "images is not a list of sections"),
        (HEAD + "[[images]]\n", "cannot be used"),
        (text_of(shape="[-1, 4]"), "has the shape"),
        (text_of(key="b"), "belongs to the image 'a', which is not listed"),
        (text_of(file="A.zarr", predicted="a.zarr"), "Two files of paint have the same name"),
        (text_of(shape='"large"'), "shape is 'large'"),
    ],
)
def test_foreign_and_damaged_ones_end_in_a_sentence(tmp_path, text, sentence):
    (tmp_path / FILE).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=sentence) as caught:
        read_project(tmp_path)
    assert "\n" not in str(caught.value)


def test_no_project_at_all(tmp_path):
    with pytest.raises(InputError, match=r"holds no project\.toml"):
        read_project(tmp_path)
    (tmp_path / FILE).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is damaged"):
        read_project(tmp_path)


def test_a_project_is_known_by_its_folder_or_its_file(tmp_path):
    write_project(tmp_path, PROJECT)
    assert is_project(tmp_path)
    assert is_project(tmp_path / FILE)
    assert not is_project(tmp_path.parent)
    assert project_folder(tmp_path / FILE) == project_folder(tmp_path) == tmp_path


@pytest.mark.parametrize(
    ("text", "taken", "name"),
    [
        ("cells", (), "cells"),
        ("a/b:c*", (), "a_b_c_"),
        ("../../etc/passwd", (), "_etc_passwd"),
        ("Zellen µ", (), "Zellen µ"),
        ("CON", (), "_CON"),
        ("", (), "_"),
        ("x" * 200, (), "x" * 60),
        ("Cells", ("cells", "CELLS 2"), "Cells 3"),
        ("name. ", (), "name"),
        ("-a", (), "_a"),
        ("2.5 mm", (), "2.5 mm"),
    ],
)
def test_plain_names(text, taken, name):
    assert plain_name(text, taken) == name
    assert check_name(name, "It") == name
    assert Path(name).name == name
