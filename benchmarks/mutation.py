"""Change central modules of core in every small way, one at a time, and check whether a test fails.

    python benchmarks/mutation.py                      # all of TESTS
    python benchmarks/mutation.py tiling --show        # one of them, and each mutant with its fate
    python benchmarks/mutation.py --every 4            # a quarter of the mutants

A mutant is the module with one thing changed: a comparison, a sign, a number by one, an inverted condition, a
missing statement. Each is tested in a fork of this process, which has imported everything else; the file on
disk is not changed. Annotations, docstrings, error messages and ``strict`` are not mutated.
"""

import argparse
import ast
import contextlib
import copy
import importlib.abc
import importlib.util
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import hypothesis
import pytest

ROOT = Path(__file__).parents[1]
TESTS = {
    "weights": ("test_weights", "test_weight_update", "test_weight_reading"),
    "tiling": ("test_tiling",),
    "annotation": ("test_annotation",),
    "painted/advice": ("test_advice",),
    "painted/pieces": ("test_pieces", "test_advice", "test_holdout", "test_instance_fit"),
}
"""Test files of each module of ``napari_unet.core``."""

OTHERS: dict[type[ast.AST], tuple[type[Any], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,), ast.NotIn: (ast.In,), ast.And: (ast.Or,), ast.Or: (ast.And,),
    ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Div,), ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Mult,), ast.Mod: (ast.Mult,), ast.Pow: (ast.Mult,), ast.RShift: (ast.LShift,),
    ast.BitAnd: (ast.BitOr,), ast.BitOr: (ast.BitAnd,),
}  # fmt: skip
TIMES_AS_LONG = 10
"""Times as long as the tests of the unchanged module after which a mutant hangs, and counts as found."""


@dataclass(frozen=True)
class Mutant:
    """A changed module: the line, the old code, and the new."""

    line: int
    was: str
    now: str
    tree: ast.Module


def mutants_of(source: str) -> Iterator[Mutant]:
    """Yield every mutant of a module."""
    tree = ast.parse(source)
    left_alone = {id(node) for root in _left_alone(tree) for node in ast.walk(root)}
    for number, node in enumerate(ast.walk(tree)):
        for change in range(0 if id(node) in left_alone else len(_changes(node))):
            changed = copy.deepcopy(tree)
            twin: Any = next(other for index, other in enumerate(ast.walk(changed)) if index == number)
            was = ast.unparse(twin)
            _changes(twin)[change]()
            if ast.unparse(twin) != was:  # a None that is returned, or a number too large for one more
                yield Mutant(twin.lineno, was, ast.unparse(twin), ast.fix_missing_locations(changed))


def _left_alone(tree: ast.Module) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        roots: list[ast.AST | None] = []
        match node:
            case ast.FunctionDef() | ast.ClassDef():
                roots = [*node.decorator_list, getattr(node, "returns", None)]
            case ast.arg() | ast.AnnAssign():
                roots = [node.annotation]
            case ast.Raise():
                roots = [node.exc]
            case ast.keyword(arg="strict") | ast.JoinedStr() | ast.Assign(targets=[ast.Name(id="__all__")]):
                roots = [node]
        yield from (root for root in roots if root is not None)


def _changes(node: Any) -> list[Callable[[], None]]:
    """Return the possible changes of a node."""
    changes: list[Callable[[], None]] = []
    match node:
        case ast.Compare():
            others = OTHERS.get(type(node.ops[0]), ())
            changes = [lambda other=other: node.ops.__setitem__(0, other()) for other in others]
        case ast.BinOp() | ast.BoolOp() | ast.AugAssign():
            others = OTHERS.get(type(node.op), ())
            changes = [lambda other=other: setattr(node, "op", other()) for other in others]
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert()):
            changes = [lambda: _become(node, node.operand)]
        case ast.Constant(value=bool()):
            changes = [lambda: setattr(node, "value", not node.value)]
        case ast.Constant(value=int() | float()):
            changes = [lambda step=step: setattr(node, "value", node.value + step) for step in (1, -1)]
        case ast.IfExp():
            changes = [lambda: _become(node, node.body), lambda: _become(node, node.orelse)]
        case ast.If() | ast.While():
            changes = [lambda: setattr(node, "test", ast.UnaryOp(ast.Not(), node.test))]
        case ast.Call(func=ast.Name(id="min" | "max") as name):
            changes = [lambda: setattr(name, "id", {"min": "max", "max": "min"}[name.id])]
        case ast.Return(value=ast.expr()):
            changes = [lambda: setattr(node, "value", ast.Constant(None))]
    if isinstance(node, ast.AugAssign | ast.Continue | ast.Raise) or (
        isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)
    ):
        changes.append(lambda: _become(node, ast.copy_location(ast.Pass(), node)))
    return changes


def _become(node: ast.AST, other: ast.AST) -> None:
    node.__class__ = other.__class__  # type: ignore[assignment]
    node.__dict__ = dict(other.__dict__)


class Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports a mutant in place of its module."""

    def __init__(self, name: str, path: Path, tree: ast.Module) -> None:
        self.name, self.path, self.code = name, path, compile(tree, str(path), "exec")

    def find_spec(self, fullname: str, *_: Any) -> Any:
        """Find this module and no other."""
        if fullname == self.name:
            return importlib.util.spec_from_file_location(fullname, self.path, loader=self)
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Run the mutant."""
        exec(self.code, module.__dict__)  # noqa: S102 - this is the point of it


def run_tests(files: Sequence[str]) -> int:
    """Run test files until the first failure; 0 if there is none."""
    options = ["-q", "-x", "--hypothesis-profile=mutation", "-p", "no:cacheprovider", "-p", "no:xvfb"]
    return int(pytest.main([*options, "-W", "ignore::pytest.PytestAssertRewriteWarning", *files]))


def is_killed(name: str, path: Path, tree: ast.Module, files: Sequence[str], limit_s: float) -> bool:
    """Return whether a test fails, in a fork, with this tree in place of the module."""
    process = os.fork()
    if process == 0:
        with contextlib.suppress(BaseException):  # whatever happens, this fork ends here
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            for module in [key for key, found in sys.modules.items() if _may_hold_on(found)]:
                del sys.modules[module]
            sys.meta_path.insert(0, Changed(name, path, tree))
            os._exit(run_tests(files) != 0)
        os._exit(1)
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return status != 0
        time.sleep(0.02)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return True


def _may_hold_on(module: ModuleType) -> bool:
    """Return whether a module may refer to changed code; compiled loops do not, and load slowly."""
    path = str(getattr(module, "__file__", None) or "")
    return path.startswith((str(ROOT / "src"), str(ROOT / "tests"))) and "kernel" not in path


def main(names: Sequence[str], every: int, show: bool) -> None:
    """Print how many mutants of each module are killed, and those that are not."""
    os.chdir(ROOT)
    # Without the phase that searches for the smallest failing example.
    phases = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
    options: dict[str, Any] = {"deadline": None, "database": None, "derandomize": True, "phases": phases}
    hypothesis.settings.register_profile("mutation", **options)
    for short in names:
        name, path = (
            f"napari_unet.core.{short.replace('/', '.')}",
            ROOT / "src/napari_unet/core" / f"{short}.py",
        )
        files = [str(ROOT / "tests/core" / f"{test}.py") for test in TESTS[short]]
        source = path.read_text(encoding="utf-8")
        run_tests(files)  # imports what stays
        began = time.monotonic()
        if is_killed(name, path, ast.parse(source), files, 600):
            sys.exit(f"The tests of {short} fail without a change.")
        limit_s = 10 + TIMES_AS_LONG * (time.monotonic() - began)
        killed = total = 0
        for mutant in islice(mutants_of(source), 0, None, every):
            dead = is_killed(name, path, mutant.tree, files, limit_s)
            killed, total = killed + dead, total + 1
            if show or not dead:
                fate = "killed" if dead else "ALIVE"
                print(f"{fate}  {short}.py:{mutant.line}  {mutant.was!r} -> {mutant.now!r}", flush=True)
        print(f"core/{short}: {killed} of {total} mutants killed, {killed / total:.1%}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("modules", nargs="*", choices=[*TESTS, []], metavar="MODULE", help="by default all")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every N-th mutant")
    parser.add_argument("--show", action="store_true", help="those that are killed, too")
    given = parser.parse_args()
    main(given.modules or list(TESTS), given.every, given.show)
