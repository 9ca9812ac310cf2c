"""Free memory where a control group allows less than the computer has."""

from pathlib import Path

import psutil
import pytest

from napari_unet.network import memory
from napari_unet.network.memory import free_host_memory

V2 = ("memory.max", "memory.current", "inactive_file")
V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def make_group(folder: Path, names: tuple[str, str, str], limit: object, used: int, cached: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 1\n{names[2]} {cached}\n")


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file with the groups of the process; groups are made in tmp_path."""
    file = tmp_path / "own"
    monkeypatch.setattr(memory, "_ROOT", tmp_path)
    monkeypatch.setattr(memory, "_OWN", file)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 1000}))
    return file


def test_without_control_groups_it_is_what_the_system_says(own: Path):
    assert free_host_memory() == 1000


def test_the_tightest_of_the_groups_around_the_process_counts(tmp_path: Path, own: Path):
    own.write_text("0::/jobs/42/task\n")
    make_group(tmp_path / "jobs/42/task", V2, "max", 5, 0)
    make_group(tmp_path / "jobs/42", V2, 700, 400, 100)
    make_group(tmp_path / "jobs", V2, 900, 10, 0)
    assert free_host_memory() == 400
    make_group(tmp_path / "jobs", V2, 900, 899, 0)
    assert free_host_memory() == 1


def test_inside_a_container_the_path_is_that_of_the_host(tmp_path: Path, own: Path):
    own.write_text("0::/docker/abc\n")
    make_group(tmp_path, V2, 500, 450, 20)
    assert free_host_memory() == 70


def test_version_1(tmp_path: Path, own: Path):
    own.write_text("5:cpu,cpuacct:/x\n4:memory:/x\n1:name=systemd:/x\n")
    make_group(tmp_path / "memory/x", V1, 300, 100, 10)
    make_group(tmp_path / "memory", V1, 2**63 - 4096, 100, 0)  # no limit
    assert free_host_memory() == 210


def test_nothing_is_left_and_nonsense_is_passed_over(tmp_path: Path, own: Path):
    own.write_text("0::/a/b\n")
    make_group(tmp_path / "a", V2, 100, 300, 0)
    make_group(tmp_path / "a/b", V2, "nonsense", 300, 0)
    assert free_host_memory() == 0
