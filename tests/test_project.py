"""The package as others get it: what a wheel holds, which versions are pinned."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def pins() -> dict[str, Version]:
    """Return {canonical name: version} of constraints.txt; a line that is not a plain pin fails."""
    lines = [
        line
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    found = [re.fullmatch(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.]+)", line) for line in lines]
    assert all(found), [line for line, match in zip(lines, found, strict=True) if not match]
    return {canonical(match[1]): Version(match[2]) for match in found if match}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements() -> list[str]:
    groups = PROJECT["dependency-groups"].values()
    grouped = [entry for group in groups for entry in group if isinstance(entry, str)]
    return [*PROJECT["project"]["dependencies"], *grouped]


def test_torch_is_pinned_to_the_version_with_one_build_for_all() -> None:
    assert pins()["torch"] == Version("2.13.0")


@pytest.mark.parametrize("text", requirements())
def test_every_dependency_has_a_lower_bound_and_a_tested_version(text: str) -> None:
    requirement = Requirement(text)
    assert [specifier.operator for specifier in requirement.specifier] == [">="], "a bound below, none above"
    assert pins()[canonical(requirement.name)] in requirement.specifier


def test_no_page_sends_readers_to_a_package_that_is_not_ours() -> None:
    # `napari-unet` on PyPI is an unrelated plugin; ours is `napari-unet-interactive`.
    wrong = re.compile(r"pip3? install [^\n]*(?<![/\w-])napari-unet(?!-interactive)\b")
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "src").rglob("*.py")]
    assert [page.name for page in pages if wrong.search(page.read_text(encoding="utf-8"))] == []


def test_what_the_first_page_and_the_targets_of_make_need_is_in_the_source_distribution() -> None:
    kept = PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert links
    assert {link for link in links if not (ROOT / link).exists()} == set()
    needed = {Path(link).parts[0] for link in links} | {"Makefile", "constraints.txt", "mkdocs.yml"}
    assert needed - set(kept) == set()


@pytest.mark.slow
def test_wheel_holds_what_runs_without_the_repository(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        dist_info = next(name.split("/")[0] for name in names if ".dist-info/" in name)
        entry_points = archive.read(f"{dist_info}/entry_points.txt").decode()
    assert wheel.name.startswith("napari_unet_interactive-")
    assert {"napari_unet/napari.yaml", "napari_unet/py.typed", "napari_unet/data/demo_strokes.json"} <= names
    assert f"{dist_info}/licenses/LICENSE" in names
    assert {name.split("/")[0] for name in names} == {"napari_unet", dist_info}, "tests or scripts slipped in"
    assert "napari-unet-interactive = napari_unet:napari.yaml" in entry_points
    assert "napari-unet = napari_unet.__main__:main" in entry_points
