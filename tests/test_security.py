"""What no code here does, whatever a file or a user says: it is looked for in the source."""

import ast
import importlib.metadata
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))

FORBIDDEN_IMPORTS = {"pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "telnetlib", "ftplib"}
FORBIDDEN_CALLS = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "yaml.load", "yaml.unsafe_load",
    "yaml.full_load", "archive.extract", "archive.extractall", "shutil.unpack_archive", "tempfile.mktemp",
}  # fmt: skip


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def wrong_in(source: str) -> list[str]:
    """Return what is forbidden in a source text."""
    tree = ast.parse(source)
    wrong = [name for name in imports(tree) if name.split(".")[0] in FORBIDDEN_IMPORTS]
    for name, call in calls(tree):
        options = {option.arg: ast.unparse(option.value) for option in call.keywords}
        if name in FORBIDDEN_CALLS or name.endswith((".extractall", ".unsafe_load")):
            wrong.append(name)
        if name == "torch.load" and options.get("weights_only") != "True":
            wrong.append("torch.load that may unpickle anything")
        if name.endswith(("np.load", "numpy.load")) and options.get("allow_pickle", "False") != "False":
            wrong.append("np.load of pickles")
        if options.get("shell") == "True":
            wrong.append("a shell")
    return wrong


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_module_runs_what_it_reads(path: Path) -> None:
    assert wrong_in(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "eval(text)",
        "yaml.load(text)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "archive.extractall(folder)",
        "subprocess.run(command, shell=True)",
    ],
)
def test_it_would_be_seen(source: str) -> None:
    assert len(wrong_in(source)) == 1


def test_every_exception_to_the_security_rules_names_its_rule() -> None:
    for path in SOURCES:
        for line in path.read_text("utf-8").splitlines():
            assert not re.search(r"#\s*(noqa|type:\s*ignore)\s*($|[^:\[\s])", line), (path, line)
            assert not re.search(r"ruff: noqa(?!: [A-Z]+\d)", line), (path, line)


def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    assert all(len(pair) == 2 for pair in pairs)
    return {re.sub("[-_.]+", "-", name).lower(): version for name, version in pairs}


def test_every_package_that_is_needed_is_pinned() -> None:
    """All that the tested environment is made of, down to the last dependency of a dependency."""
    versions, seen = pinned(), set[str]()
    wanted = ["napari-unet-interactive"]
    while wanted:
        name = wanted.pop()
        for text in importlib.metadata.requires(name) or ():
            requirement = Requirement(text)
            key = re.sub("[-_.]+", "-", requirement.name).lower()
            if key in seen or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
                continue
            seen.add(key)
            if key.startswith(("nvidia-", "cuda-")) or key == "triton":  # they come with torch's CUDA builds
                continue
            assert key in versions, f"{name} needs {key}, which constraints.txt does not pin"
            assert requirement.specifier.contains(versions[key], prereleases=True), (name, text)
            wanted.append(requirement.name)
    assert len(seen) > 50


@pytest.mark.parametrize(
    ("name", "since", "why"),
    [
        ("torch", "2.10", "weights_only=True ran code before"),
        ("pillow", "10.3", "a buffer overflow in its decoders"),
        ("pyyaml", "5.4", "safe_load ran code before"),
        ("numpy", "1.22", "a buffer overflow"),
        ("urllib3", "2.2.2", "credentials leaked to other hosts"),
        ("jinja2", "3.1.5", "sandboxed templates ran code"),
    ],
)
def test_no_pinned_package_has_a_hole_we_know_of(name: str, since: str, why: str) -> None:
    from packaging.version import Version

    if name in pinned():
        assert Version(pinned()[name]) >= Version(since), why
