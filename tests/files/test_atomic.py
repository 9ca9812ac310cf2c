import errno
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from napari_unet.core.errors import InputError
from napari_unet.files.atomic import check_writable, remove_unowned, writing


def test_a_new_file_has_its_content_and_nothing_else_is_left(tmp_path: Path) -> None:
    with writing(tmp_path / "new" / "folder" / "a.bin") as temporary:
        temporary.write_bytes(b"content")
        assert temporary.parent == tmp_path / "new" / "folder"
        assert temporary.name.startswith(".")
        assert not (tmp_path / "new" / "folder" / "a.bin").exists()
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["a.bin"]
    assert (tmp_path / "new" / "folder" / "a.bin").read_bytes() == b"content"


def fail_half_way(target: Path, error: BaseException) -> None:
    with writing(target) as temporary:
        temporary.write_bytes(b"half of the ne")
        raise error


@pytest.mark.parametrize("error", [ValueError("bug"), KeyboardInterrupt(), SystemExit(1)])
def test_a_failure_leaves_the_old_file_and_no_other(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    with pytest.raises(type(error)):
        fail_half_way(target, error)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.skipif(sys.platform == "win32", reason="no permission bits")
def test_permissions_are_those_of_any_new_file_even_if_the_writer_made_it_private(tmp_path: Path) -> None:
    (tmp_path / "ordinary").touch()
    with writing(tmp_path / "a.bin") as temporary:
        temporary.write_bytes(b"x")
        temporary.chmod(0o600)
    ordinary = stat.S_IMODE((tmp_path / "ordinary").stat().st_mode)
    assert stat.S_IMODE((tmp_path / "a.bin").stat().st_mode) == ordinary != 0o600


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link.bin").symlink_to(tmp_path / "real" / "a.bin")
    with writing(tmp_path / "link.bin") as temporary:
        temporary.write_bytes(b"x")
    assert (tmp_path / "link.bin").is_symlink()
    assert (tmp_path / "real" / "a.bin").read_bytes() == b"x"


HALF_WAY = """
import sys
from napari_unet.files.atomic import writing
with writing(sys.argv[1]) as temporary:
    temporary.write_text("theirs")
    print(temporary, flush=True)
    sys.stdin.read()
"""


def stops_half_way(target: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HALF_WAY, target], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_what_killed_processes_left_goes_and_what_living_ones_write_stays(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    with stops_half_way(target) as killed, stops_half_way(target) as living:
        for process in (killed, living):
            assert process.stdout is not None
        left, written = Path(killed.stdout.readline().strip()), Path(living.stdout.readline().strip())
        killed.kill()
        killed.wait()
        computer = left.name.split("-")[2]
        elsewhere = tmp_path / left.name.replace(computer, "00000000")  # where that process may be alive
        elsewhere.touch()
        assert len(list(tmp_path.iterdir())) == 3
        with writing(target) as temporary:
            temporary.write_text("ours")
            remove_unowned(temporary)
        assert set(tmp_path.iterdir()) == {target, written, elsewhere}
        living.communicate()
        assert living.returncode == 0
    assert target.read_text() == "theirs"
    assert set(tmp_path.iterdir()) == {target, elsewhere}


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    name = "n" * 251 + ".bin"
    with writing(tmp_path / name) as temporary:
        temporary.write_bytes(b"x")
    assert (tmp_path / name).read_bytes() == b"x"


def test_a_name_that_ends_as_that_of_a_folder_is_none_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="new/ is a folder"), writing(f"{tmp_path}/new/"):
        pytest.fail("the block must not run")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("place", "word"),
    [
        ("folder", "is a folder"),
        ("file/a.bin", "folder is a file"),
        ("n" * 300, "too long.; choose another name"),
        ("n" * 300 + "/a.bin", "too long.; choose another name"),
    ],
)
def test_impossible_places_are_one_sentence(tmp_path: Path, place: str, word: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=word) as caught, writing(tmp_path / place):
        pytest.fail("the block must not run")
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=word):
        check_writable(tmp_path / place)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.skipif(sys.platform == "win32", reason="no files of this kind")
def test_what_is_no_ordinary_file_is_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "link").symlink_to(pipe)  # as /dev/stdout is one to a device
    for path in (pipe, tmp_path / "link"):
        with pytest.raises(InputError, match="is not an ordinary file"), writing(path) as temporary:
            temporary.write_bytes(b"content")
    assert pipe.is_fifo()


@pytest.mark.skipif(sys.platform == "win32", reason="no permission bits")
def test_a_read_only_file_and_a_read_only_folder_are_one_sentence(ordinary_folder: Path) -> None:
    protected = ordinary_folder / "a.bin"
    protected.write_bytes(b"protected")
    protected.chmod(0o444)
    with pytest.raises(InputError, match=r"write-protected"):
        check_writable(protected)
    ordinary_folder.chmod(0o555)
    for path in (ordinary_folder / "b.bin", ordinary_folder / "new" / "b.bin"):
        with pytest.raises(InputError, match=r"written \(Permission denied\); choose another name or folder"):
            check_writable(path)
    assert protected.read_bytes() == b"protected"


class Held:
    """A move that fails for a while, as on Windows where a scanner for viruses has the file open."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
        self.left = times
        self._replace = Path.replace
        monkeypatch.setattr("napari_unet.files.atomic.PAUSES_S", (0.0,) * 3)
        monkeypatch.setattr(Path, "replace", lambda source, target: self.replace(source, target))

    def replace(self, source: Path, target: Path) -> Path:
        self.left -= 1
        if self.left >= 0:
            raise PermissionError(errno.EACCES, "Access is denied", str(target))
        return self._replace(source, target)


def test_a_file_that_is_held_for_a_moment_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.bin").write_bytes(b"old")
    held = Held(monkeypatch, 3)
    with writing(tmp_path / "a.bin") as temporary:
        temporary.write_bytes(b"new")
    assert held.left == -1
    assert (tmp_path / "a.bin").read_bytes() == b"new"


def test_a_file_that_another_program_keeps_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.bin").write_bytes(b"old")
    Held(monkeypatch, 100)
    sentence = r"a.bin could not be replaced \(Access is denied\); close it in other programs"
    with pytest.raises(InputError, match=sentence), writing(tmp_path / "a.bin") as temporary:
        temporary.write_bytes(b"new")
    with pytest.raises(InputError, match=sentence):
        check_writable(tmp_path / "a.bin")
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == b"old"


def test_a_path_that_is_too_long_for_windows_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    for length, said in (
        (300, r"\(its path is too long for Windows\); choose a folder"),
        (9, "No such file"),
    ):
        with pytest.raises(InputError, match=said), writing(tmp_path / "a"):
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", "n" * length)


def test_what_cannot_be_removed_hides_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(errno.EACCES, "Access is denied", str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(ValueError, match="bug"):
        fail_half_way(tmp_path / "a.bin", ValueError("bug"))


def test_checking_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"old")
    names = ["a.bin"]
    if sys.platform != "win32":  # where links need rights
        (tmp_path / "link").symlink_to(tmp_path / "not there")
        names.append("link")
    check_writable(tmp_path / "a.bin")
    check_writable(tmp_path / "b.bin")
    check_writable(tmp_path / "new" / "folder" / "c.bin")
    check_writable(tmp_path / "link" / "c.bin")
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert (tmp_path / "a.bin").read_bytes() == b"old"


def test_a_full_disk_is_called_so_where_numpy_only_counts(tmp_path: Path) -> None:
    told = pytest.raises(InputError, match=r"could not be written \(the disk is full\)")
    with told, writing(tmp_path / "a"):
        raise OSError("43008 requested and 6072 written")


@pytest.mark.skipif(sys.platform == "win32", reason="no resource limits")
def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    """A limit on the size of files fails a write half-way, as a full disk does; Python ignores its signal."""
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    program = f"""
import resource
from napari_unet.core.errors import InputError
from napari_unet.files.atomic import writing
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    with writing({str(target)!r}) as temporary, temporary.open("wb", buffering=0) as file:
        for _ in range(40):
            file.write(b"x" * 4096)
except InputError as error:
    print(error)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "could not be written (File too large)" in result.stdout
    assert "free some space" in result.stdout
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_is_flushed_before_it_takes_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []

    def noting(word: str, call: Any) -> Any:
        return lambda *given: (happened.append(word), call(*given))[1]

    monkeypatch.setattr(os, "fsync", noting("flush", os.fsync))
    monkeypatch.setattr(Path, "replace", noting("replace", Path.replace))
    with writing(tmp_path / "a") as temporary:
        temporary.write_bytes(b"new")
    flushed_folder = ["flush"] if os.name == "posix" else []
    assert happened == ["flush", "replace", *flushed_folder]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="nothing here tells which files are open")
def test_these_tests_move_nothing_that_is_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_unet.files.atomic.PAUSES_S", ())
    (tmp_path / "folder").mkdir()
    path = tmp_path / "folder" / "a.bin"
    path.write_bytes(b"old")
    with path.open("rb"):
        with pytest.raises(InputError, match="could not be replaced"), writing(path) as temporary:
            temporary.write_bytes(b"new")
        with pytest.raises(PermissionError):
            path.unlink()
        with pytest.raises(PermissionError):
            shutil.rmtree(path.parent)
        with pytest.raises(PermissionError):
            path.parent.rename(tmp_path / "other")
    shutil.rmtree(path.parent)
