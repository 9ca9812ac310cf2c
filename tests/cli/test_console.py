import json
import math
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.console import (
    MULTIPLE,
    in_home,
    note,
    print_json,
    progress_bar,
    repeat_flags,
    report_written,
    signals_stop,
)
from napari_unet.core.control import Control
from napari_unet.core.errors import InputError


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("train --images a b --paint c", "train --images a --images b --paint c"),
        ("train --images a --images b c", "train --images a --images b --images c"),
        ("train --images=a b --seed 1", "train --images=a --images b --seed 1"),
        ("train --set a.b=1 c.d=-2 --json", "train --set a.b=1 --set c.d=-2 --json"),
        ("predict m --images a --output o", "predict m --images a --output o"),
        ("predict --images a - --output o p", "predict --images a --images - --output o p"),
        ("predict --images a -h b", "predict --images a -h b"),
        ("predict --images a -- m --what x", "predict --images a -- m --what x"),
        ("--version", "--version"),
        ("", ""),
    ],
)
def test_values_after_one_flag_are_given_to_many(given: str, expected: str) -> None:
    assert repeat_flags(given.split()) == expected.split()


@pytest.mark.parametrize(
    "given", ["train --images", "train --images --paint c", "train --images -- c", "train --set --json"]
)
def test_a_flag_without_a_value_is_named(given: str) -> None:
    with pytest.raises(InputError, match=r"^--(images|set) has no value; give at least one after it\.$"):
        repeat_flags(given.split())


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["predict", "m", "--output", ""], "--output"),
        (["predict", "m", "--output="], "--output"),
        (["predict", "m", "--images", "a", ""], "a"),
        (["predict", ""], "predict"),
    ],
)
def test_an_empty_argument_is_no_folder(given: list[str], named: str) -> None:
    with pytest.raises(InputError, match=f"^There is nothing after {named}, as from a variable"):
        repeat_flags(given)


def test_a_quotation_mark_that_windows_keeps_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """There "C:\\my results\\" --json becomes one argument."""
    settings = ["train", "--set", 'a.b="x"', '--set=a.b=["x"]']
    for words in ('C:\\my results"', '--output=C:\\my results"', 'my results" --set a.b=1'):
        repeat_flags(["predict", words])
        with monkeypatch.context() as patch:
            patch.setattr(sys, "platform", "win32")
            assert repeat_flags(settings) == ["train", "--set", 'a.b="x"', '--set=a.b=["x"]']
            with pytest.raises(InputError, match=r'which Windows makes of \\"; leave out the \\ at the end'):
                repeat_flags(["predict", words])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("~/a.tif", "HOME/a.tif"),
        ("--output=~/o", "--output=HOME/o"),
        ("~", "HOME"),
        ("~a.tif", "~a.tif"),
        ("--output=~a.tif", "--output=~a.tif"),
        ("a/~/b", "a/~/b"),
        ("--set=a=~/b", "--set=a=~/b"),
    ],
)
def test_the_home_folder_is_found_where_shells_do_not_look(given: str, expected: str) -> None:
    assert in_home(given) == expected.replace("HOME", str(Path.home()))


words = st.text("ab. =[*", min_size=1, max_size=4)
groups = st.lists(
    st.tuples(st.sampled_from([*sorted(MULTIPLE), "--output", "--seed"]), st.lists(words, min_size=1))
)


@given(groups)
def test_every_value_keeps_its_flag_and_its_order(groups: list[tuple[str, list[str]]]) -> None:
    arguments = [argument for flag, values in groups for argument in (flag, *values)]
    expected = []
    for flag, values in groups:
        for value in values:
            expected += [flag, value] if flag in MULTIPLE else [value]
        if flag not in MULTIPLE:
            expected.insert(len(expected) - len(values), flag)
    assert repeat_flags(arguments) == expected


def test_json_lines_hold_only_what_json_has(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": [1, (2.5, math.nan)], "b": {"c": -math.inf}, "text": "two\nlines"})
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == {"a": [1, [2.5, None]], "b": {"c": None}, "text": "two\nlines"}


def test_a_note_is_one_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    note("two\n lines")
    assert capsys.readouterr() == ("", "two lines\n")


def test_the_bar_shows_on_a_terminal_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with progress_bar("Training") as progress:
        progress(0.5, "step 5")
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress_bar("Training") as progress:
        for part in (0.0, 0.5, 1.0, 1.7):
            progress(part, f"step {part}")
    out, err = capsys.readouterr()
    assert out == ""
    assert "Training" in err
    assert "step 1.0" in err


def test_a_result_is_told_on_a_line_of_its_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    report_written(Path("a.tif"), "objects", Path("a_objects.tif"), as_json=False)
    assert capsys.readouterr() == ("a_objects.tif\n", "\r\x1b[K")


def test_the_first_signal_stops_and_the_second_interrupts() -> None:
    control = Control()
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), signals_stop(control) as received:  # noqa: PT012 (both belong together)
        signal.raise_signal(signal.SIGTERM)
        assert control.stopped
        assert received == [signal.SIGTERM]
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="no signal to stand in")
def test_ctrl_break_of_windows_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "SIGBREAK", signal.SIGUSR1, raising=False)
    control = Control()
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        with signals_stop(control) as received:
            signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert control.stopped
    assert received == [signal.SIGUSR1]


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no such signal")
@pytest.mark.parametrize("is_kept_alive", [True, False])
def test_a_closed_terminal_stops_unless_the_program_is_to_outlive_it(is_kept_alive: bool) -> None:
    control = Control()
    before = signal.signal(
        signal.SIGHUP, signal.SIG_IGN if is_kept_alive else signal.SIG_DFL
    )  # as nohup does
    try:
        with signals_stop(control) as received:
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGHUP)
        assert control.stopped != is_kept_alive
        assert bool(received) != is_kept_alive
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_job_that_was_stopped_and_has_no_result_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), signals_stop(Control()):  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        raise InputError("There is no model yet.")
    assert capsys.readouterr().err == "There is no model yet.\n"
    with pytest.raises(InputError, match="bad input"), signals_stop(Control()):
        raise InputError("bad input")
