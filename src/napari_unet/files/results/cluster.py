"""Segment the tiles of an image on a dask.distributed cluster, such as one that SLURM started.

The scheduler hands the tiles to its workers, and those of a lost worker to another one. What the workers do
is in `files/results/cluster_worker.py`. Without a cluster, dask is neither needed nor imported.
"""

import secrets
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from napari_unet._version import __version__
from napari_unet.core.arrays.axes import Channels
from napari_unet.core.control import Control
from napari_unet.core.errors import InputError
from napari_unet.files.networks.models import model_digest
from napari_unet.network.config import PredictionConfig
from napari_unet.network.events import TileStored
from napari_unet.network.model import Model

if TYPE_CHECKING:
    from distributed import Future

    from napari_unet.files.results.cluster_worker import NetworkPlugin, TileTask, WorkerFacts
    from napari_unet.network.prediction import PredictionPlan
    from napari_unet.network.tiles.tile_run import Place, TileRun

_ANSWER_S = 5.0
"""Seconds within which a scheduler must answer."""

_POLL_S = 0.2
"""Seconds between checks whether to stop."""

_DESERTED_S = 60.0
"""Seconds without any worker after which the work ends."""


@dataclass(frozen=True, slots=True, eq=False)
class OnCluster:
    """An image to segment on a cluster, whose workers open the file or folder ``image`` themselves."""

    cluster: "Cluster"
    image: Path

    def segment(
        self,
        model: Model,
        plan: "PredictionPlan",
        run: "TileRun",
        results: Path,
        names: tuple[str, ...],
        *,
        channels: Channels,
        device: str,
        control: Control,
    ) -> Iterator[TileStored]:
        """Write the tiles of a run to the results with these names; see :meth:`Cluster.segment`."""
        from napari_unet.files.results.cluster_worker import TileTask

        task = TileTask(
            run=secrets.token_hex(8),
            image=str(self.image.resolve()),
            channels=channels,
            shape=(*plan.leading, *plan.shape),
            limits=plan.limits,
            results=str(results.resolve()),
            names=names,
            geometry=plan.geometry,
            scale=plan.scale,
            precision=plan.precision,
            orientations=plan.orientations,
        )
        return self.cluster.segment(model, task, run, device, control)


class Cluster:
    """A connection with a running cluster; a context manager.

    ``address`` is that of the scheduler, such as "tcp://10.0.0.1:8786", or a scheduler file. ``InputError``
    if dask.distributed is not installed, or the scheduler does not answer within 5 seconds.
    """

    def __init__(self, address: str) -> None:
        try:
            from distributed import Client
            from distributed.comm import resolve_address
        except ImportError as error:
            raise InputError(
                "A scheduler was given, but dask.distributed is not installed; install it with: pip install "
                "distributed"
            ) from error
        given = {"scheduler_file": address} if address.endswith(".json") else {"address": address}
        if "scheduler_file" in given and not Path(address).is_file():
            raise InputError(f"There is no scheduler file {address}; check its name, or give an address.")
        self.address = address
        self._plugin: NetworkPlugin | None = None
        self._is_lost = False
        try:
            if "address" in given:  # without a port the client would fail again later, and log it
                resolve_address(address)
            self._client = Client(**given, timeout=_ANSWER_S, set_as_default=False)
        except (OSError, ValueError) as error:  # TimeoutError is an OSError
            raise InputError(
                f"There is no scheduler at {address}, or it does not answer; check the address, such as "
                "tcp://10.0.0.1:8786, and that it runs (dask scheduler)."
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the network from the workers and close the connection; the cluster keeps running."""
        try:
            if self._plugin is not None and self._client.status == "running":
                self._client.unregister_worker_plugin(self._plugin.name)
        except (OSError, CancelledError):  # the cluster is gone, and the network with it
            pass
        finally:
            self._client.close()

    def plan(
        self,
        model: Model,
        source: Any,
        config: PredictionConfig,
        *,
        device: str,
        pixel_size: Sequence[float] | None = None,
    ) -> "PredictionPlan":
        """Return how these workers segment an image: with a precision and tiles that suit all of them.

        ``InputError`` as for :func:`napari_unet.network.prediction.plan_prediction`, and if there are no
        workers or one of them is unable to.
        """
        import torch

        from napari_unet.network.prediction import plan_prediction
        from napari_unet.network.tiles.tile_size import tile_size_for

        facts = self._survey(config, device)
        precisions = {fact.precision for fact in facts}
        precision = precisions.pop() if len(precisions) == 1 else torch.float32
        plan = plan_prediction(model, source, config, device="cpu", pixel_size=pixel_size)
        tile_size = config.tile_size or tile_size_for(
            plan.shape,
            plan.geometry,
            model.network,
            plan.scale,
            memory=min(fact.memory for fact in facts),
            itemsize=precision.itemsize,
            device="cuda" if any(fact.device != "cpu" for fact in facts) else "cpu",
        )
        return replace(plan, precision=precision, tile_size=tile_size)

    @contextmanager
    def _connection(self, lost: tuple[type[Exception], ...] = (CancelledError, OSError)) -> Iterator[None]:
        """Turn errors that mean a lost scheduler into ``InputError``; later calls raise it at once."""
        sentence = (
            f"The connection with the scheduler at {self.address} was lost; start it again, then give "
            "the same command again: what is finished is kept."
        )
        if self._is_lost:  # asking again would take seconds for every image of a folder
            raise InputError(sentence)
        try:
            yield
        except lost as error:
            self._is_lost = True
            raise InputError(sentence) from error

    def _survey(self, config: PredictionConfig, device: str) -> "list[WorkerFacts]":
        from napari_unet.files.results.cluster_worker import WorkerFacts, describe_worker

        with self._connection():
            answers = self._client.run(describe_worker, device, config.precision, on_error="return")
        if not answers:
            raise InputError(
                f"The scheduler at {self.address} has no workers yet; start some (dask worker "
                f"{self.address}), then give the same command again."
            )
        facts = []
        for worker, answer in answers.items():
            if not isinstance(answer, WorkerFacts):
                raise InputError(
                    f"The worker {worker} cannot do this ({type(answer).__name__}: {answer}); install the "
                    "same napari-unet there as here, or choose another device."
                )
            if answer.version != __version__:
                raise InputError(
                    f"The worker {worker} has version {answer.version} of napari-unet, and here it is "
                    f"{__version__}; install the same one on both."
                )
            facts.append(answer)
        return facts

    def segment(
        self, model: Model, task: "TileTask", run: "TileRun", device: str, control: Control
    ) -> Iterator[TileStored]:
        """Segment and write the tiles of a run, and yield an event for each as it is finished.

        The workers keep the model until they get another, and each chooses its own device by ``device``.
        After a stop, tiles that were begun are still finished. ``InputError`` if the workers do not see the
        files, or if the cluster or all of its workers are lost.
        """
        from distributed import KilledWorker

        waiting: dict[Future, Place] = {}
        try:
            with self._connection():
                name = self._register(model, device)
            for future, place in self._finished(name, task, run.todo, waiting, control):
                with self._connection((CancelledError,)):  # other errors are the worker's
                    future.result()
                run.finish(place)
                yield TileStored(*place, run.done, run.total, run.share)
        except KilledWorker as error:
            raise InputError(
                "Several workers ended while computing the same tile, most likely because they ran out of "
                "memory; give them more memory or fewer threads, and start again: what is finished is kept."
            ) from error
        finally:
            self._client.cancel(list(waiting))

    def _finished(
        self,
        name: str,
        task: "TileTask",
        places: "tuple[Place, ...]",
        waiting: "dict[Future, Place]",
        control: Control,
    ) -> "Iterator[tuple[Future, Place]]":
        """Give the tiles to the workers in order, and yield finished ones in any order."""
        from distributed import wait

        from napari_unet.files.results.cluster_worker import segment_tile

        left = list(places)[::-1]
        last_seen = time.monotonic()
        with self._connection():
            while left or waiting:
                threads = self._client.nthreads()
                last_seen = time.monotonic() if threads else last_seen
                if time.monotonic() - last_seen > _DESERTED_S:
                    raise InputError(
                        f"The scheduler at {self.address} has lost all of its workers; start some, then give "
                        "the same command again: what is finished is kept."
                    )
                control.wait_while_paused()
                if control.stopped:
                    left.clear()
                # One more for each worker, so that none has to wait for its next tile.
                while left and len(waiting) < sum(threads.values()) + len(threads):
                    place = left.pop()
                    waiting[self._client.submit(segment_tile, name, task, place, pure=False)] = place
                if not waiting:
                    return
                try:
                    with self._client.as_current():
                        done = wait(list(waiting), timeout=_POLL_S, return_when="FIRST_COMPLETED").done
                except TimeoutError:
                    continue
                for future in done:
                    yield future, waiting.pop(future)

    def _register(self, model: Model, device: str) -> str:
        """Send the network to every worker, and return the name under which they keep it."""
        from napari_unet.files.results.cluster_worker import NetworkPlugin

        plugin = NetworkPlugin(model, model_digest(model), device)
        if self._plugin is not None and self._plugin.name == plugin.name:
            return plugin.name
        if self._plugin is not None:
            self._client.unregister_worker_plugin(self._plugin.name)
        self._client.register_plugin(plugin)
        self._plugin = plugin
        return plugin.name
