"""Work on items in a few threads at once, and have the results in the order of the items."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Barrier, BrokenBarrierError
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_order(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    threads: int,
    *,
    prepare: Callable[[], None] = lambda: None,
) -> Generator[tuple[Item, Result], None, None]:
    """Yield every item with its result.

    One more item than there are threads is taken in advance, so that no thread is idle while the caller
    deals with a result. When the generator ends, is closed or fails, its threads have ended.

    Parameters
    ----------
    work : callable
        What to do with an item. Its error is raised here, when the item's turn comes; later results are lost.
    items : iterable
        Read in the caller's thread, and may decide there that no more follows.
    threads : int
        How many; with 1, everything runs in the caller's own thread.
    prepare : callable, optional
        Called in each of the threads as it starts, before any work; not called if there is only the caller's.
    """
    if threads == 1:
        for item in items:
            yield item, work(item)
        return
    pool = ThreadPoolExecutor(threads, thread_name_prefix="ordered")
    waiting: deque[tuple[Item, Future[Result]]] = deque()
    try:
        _start_all(pool, threads, prepare)
        for item in items:
            waiting.append((item, pool.submit(work, item)))
            if len(waiting) > threads:
                yield _first(waiting)
        while waiting:
            yield _first(waiting)
    finally:
        pool.shutdown(cancel_futures=True)


def _first(waiting: deque[tuple[Item, Future[Result]]]) -> tuple[Item, Result]:
    item, future = waiting.popleft()
    return item, future.result()


def _start_all(pool: ThreadPoolExecutor, threads: int, prepare: Callable[[], None]) -> None:
    """Return when all threads are prepared; a pool starts them one by one, as work comes."""
    together = Barrier(threads)  # holds each in its first task, so that the next task goes to another

    def begin() -> None:
        try:
            prepare()
        except BaseException:
            together.abort()
            raise
        together.wait()

    try:
        started = [pool.submit(begin) for _ in range(threads)]
    except BaseException:  # the system may refuse a thread: let go those that wait for it
        together.abort()
        raise
    for future in sorted(started, key=lambda future: isinstance(future.exception(), BrokenBarrierError)):
        future.result()  # first the error for which the others were let go
