"""Results in the order of the items, from threads that always end."""

import threading
import time
from itertools import count

import pytest

from napari_unet.core.arrays.ordered import map_in_order


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = threading.active_count()
    yield
    assert threading.active_count() == before


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_order_whatever_takes_longest(threads: int):
    def work(item: int) -> int:
        time.sleep(0.002 * (item % 3))
        return item * item

    assert list(map_in_order(work, range(20), threads)) == [(item, item * item) for item in range(20)]
    assert list(map_in_order(work, [], threads)) == []


@pytest.mark.parametrize("threads", [1, 3])
def test_little_is_taken_in_advance(threads: int):
    taken: list[int] = []

    def items():
        for item in range(50):
            taken.append(item)
            yield item

    for item, _ in map_in_order(lambda item: item, items(), threads):
        assert len(taken) <= item + 1 + threads


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_comes_when_its_turn_comes(threads: int):
    results = map_in_order(lambda item: 1 / (3 - item), range(10), threads)
    assert [next(results)[0] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_every_thread_is_prepared_once_before_it_works():
    prepared: list[int] = []

    def work(item: int) -> bool:
        return threading.get_ident() in prepared and len(prepared) == 3

    results = map_in_order(work, range(9), 3, prepare=lambda: prepared.append(threading.get_ident()))
    assert all(result for _, result in results)
    assert len(set(prepared)) == 3


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_a_thread_that_cannot_be_prepared_is_an_error(failing: int):
    numbers = count(1)

    def prepare() -> None:
        if next(numbers) == failing:
            raise OSError("no")

    with pytest.raises(OSError, match="no"):
        list(map_in_order(lambda item: item, range(5), 3, prepare=prepare))


def test_a_thread_that_cannot_be_started_is_an_error(monkeypatch: pytest.MonkeyPatch):
    start, started = threading.Thread.start, []

    def refuse(thread: threading.Thread) -> None:
        if len(started) == 1:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="start new thread"):
            list(map_in_order(lambda item: item, range(5), 3))
