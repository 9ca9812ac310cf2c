"""What came of the images of one prediction so far, in numbers and in words."""

from collections.abc import Sequence

from napari_unet.widgets.parts.form import Tone


class Tally:
    """Counts finished, failed and left images of these names.

    ``folder`` is where results are written, or "" if they become layers.
    """

    def __init__(self, names: Sequence[str] = (), folder: str = "") -> None:
        self.names = list(names)
        self.folder = folder
        self.finished: list[int] = []
        self.failures: dict[int, str] = {}
        self.has_part = False
        """Whether the finished tiles of an image that is not finished were kept."""
        self.is_suspended = False
        """Whether those of an image that is segmented on disk were, so that the same run goes on there."""
        self._objects: int | None = None
        self._share = 0.0
        self._place = ""
        self._note = ""

    @property
    def share(self) -> float:
        """The part that is done of all images together, 0 to 1."""
        return self._share

    def advance(self, number: int, share: float, note: str = "") -> None:
        """Note that a ``share`` of image ``number`` is done; ``note`` is what the user should know of it."""
        total = len(self.names)
        self._note = note
        self._share = (number + share) / total
        where = f"Image {number + 1} of {total}, {self.names[number]}" if total > 1 else "Predicting"
        self._place = f"{where}: {self._share:.0%} done. {note}".rstrip()

    def finish(self, number: int, objects: int | None = None) -> None:
        """Note that an image is finished, with its results where they belong, and how many ``objects``."""
        self.finished.append(number)
        if objects is not None:
            self._objects = (self._objects or 0) + objects
        self.advance(number, 1, self._note)  # a short prediction may be told of for the first time here

    def fail(self, number: int, message: str) -> None:
        """Note why nothing came of an image."""
        self.failures[number] = message
        self.advance(number, 1)

    def progress(self) -> str:
        """Return where the work is, in words; "" before it has begun."""
        return self._place

    def failure_lines(self) -> list[str]:
        """Return a line for every image of which nothing came: its name and why."""
        return [f"{self.names[number]}: {message}" for number, message in self.failures.items()]

    def outcome(self, *, cancelled: bool) -> tuple[str, Tone]:
        """Return what came of it in words, and their tone."""
        total, done, failed = len(self.names), len(self.finished), len(self.failures)
        if total == failed == 1:
            return next(iter(self.failures.values())), "error"
        kept = f" in {self.folder}" if self.folder else " in the layer list"
        if cancelled and (total == 0 or done + failed < total):
            return self._cancelled(kept), "warning" if failed else "hint"
        if failed:
            where = f" The results are{kept}." if done else ""
            counts = f"{done} of {total} images segmented, {failed} failed"
            return f"{counts}: the list below says why.{where}", "warning" if done else "error"
        images = f"{done} image{'s' * (done != 1)}"
        if self._objects == 0:
            where = f" in {images}" * (done > 1)
            return f"Done, and no object was found{where}: train on, or lower the threshold.", "warning"
        them = "it" if self._objects == 1 else "them"
        after = "" if self.folder else f", and correct {them} like any labels"
        if self._objects is None:
            return f"Done: see the results of {images}{kept}{after}.", "hint"
        found = f"{self._objects:,} object{'s' * (self._objects != 1)}"
        return f"Done: {found}{f' in {images}' * (done > 1)}; see {them}{kept}{after}.", "hint"

    def _cancelled(self, kept: str) -> str:
        done, failed = len(self.finished), len(self.failures)
        if self.is_suspended and len(self.names) == 1:
            return "Cancelled; the finished tiles are kept on disk: Predict goes on where it was."
        if len(self.names) <= 1:
            what = "the finished tiles were" if self.has_part else "nothing was"
            return f"Cancelled; {what} {'written' if self.folder else 'added'}."
        more = f", {failed} failed" if failed else ""
        part = ", with the finished tiles of one more" if self.has_part else ""
        where = f" What is finished is{kept}{part}." if done or part else ""
        return f"Cancelled: {done} of {len(self.names)} images segmented{more}.{where}"
