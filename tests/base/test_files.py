from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from facts import raises

from dvspipe.base.errors import FileError
from dvspipe.base.files import (
    claim_output,
    explain_missing,
    is_internal,
    lock_folder,
    remove_leftovers,
    require_space,
    write_beside,
    write_text,
)


def test_existing_output_is_kept_without_overwrite(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("old")
    with raises(FileError, "overwrite"):
        claim_output(path, overwrite=False)
    claim_output(path, overwrite=True)
    assert path.read_text() == "old"


def test_folder_is_not_overwritten_and_file_is_not_a_folder(tmp_path: Path) -> None:
    with raises(FileError, tmp_path.name):
        claim_output(tmp_path, overwrite=True)
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "out.txt", tmp_path / "file" / "inside" / "out.txt"):
        with raises(FileError, f"{tmp_path / 'file'}: ", "folder"), write_beside(path):
            pass
        with raises(FileError, f"{tmp_path / 'file'}: ", "folder"), lock_folder(path):
            pass


def test_output_file_is_complete_or_absent(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    with write_beside(path) as beside:
        beside.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    with pytest.raises(ZeroDivisionError), write_beside(path) as beside:
        beside.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_full_disk_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    with pytest.raises(FileError, match=r"out\.txt: .*No space left on device"), write_beside(path):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_insufficient_disk_space_is_reported(tmp_path: Path) -> None:
    require_space(tmp_path / "out.h5", 1000)
    with raises(FileError, "out.h5", "1,000,000,000,000,000,000"):
        require_space(tmp_path / "out.h5", 10**18)


def test_folder_lock_is_exclusive_and_removes_an_empty_folder(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    with lock_folder(folder):
        with raises(FileError, "folder"), lock_folder(folder):
            pass
        (folder / "mine").touch()
    assert folder.exists()
    with lock_folder(folder):
        (folder / "mine").unlink()
    assert not folder.exists()
    (tmp_path / "file").touch()
    with raises(FileError, "folder"), lock_folder(tmp_path / "file" / "folder"):
        pass


def test_link_to_nothing_is_an_error_that_names_it(tmp_path: Path) -> None:
    nothing = tmp_path / "missing" / "file"
    (tmp_path / "out").mkdir()
    for link in (tmp_path / "out" / ".lock", tmp_path / "folder"):
        link.symlink_to(nothing)
        with raises(FileError, link.name, tmp_path), lock_folder(link.parent if link.name == ".lock" else link):
            pass
    with raises(FileError, tmp_path / "folder"), write_beside(tmp_path / "folder" / "a.txt"):
        pass
    (tmp_path / ".dvspipe-0.txt").symlink_to(nothing)
    remove_leftovers.cache_clear()
    write_text(tmp_path / "a.txt", "complete")


def test_leftovers_of_killed_processes_are_removed_by_the_next_writer(tmp_path: Path) -> None:
    code = (
        "import os, sys, pathlib; from dvspipe.base.files import write_beside\n"
        "with write_beside(pathlib.Path(sys.argv[1])) as beside:\n    beside.write_text('half'); os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "killed.txt")], check=False)
    (left,) = tmp_path.iterdir()
    assert is_internal(left)
    with write_beside(tmp_path / "other.txt") as beside:
        beside.write_text("new")
        remove_leftovers.cache_clear()
        remove_leftovers(tmp_path)  # as in another process; it keeps files that are being written
        assert list(tmp_path.iterdir()) == [beside]
    assert [path.name for path in tmp_path.iterdir()] == ["other.txt"]


def test_output_is_synced_before_it_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, synced = tmp_path / "out.txt", []
    monkeypatch.setattr(
        os, "fsync", lambda handle: synced.append((os.readlink(f"/proc/self/fd/{handle}"), path.exists()))
    )
    with write_beside(path) as beside:
        beside.write_text("new")
    assert synced == [(str(beside), False), (str(tmp_path), True)]


def test_file_names_that_are_not_utf8_are_written_with_escapes(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", f"é {os.fsdecode(bytes([0xFF]))}.h5")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == r"é \udcff.h5"


@pytest.mark.parametrize(
    ("name", "similar"),
    [("helo.mp4", "hello.mp4"), ("hello", "hello.mp4"), ("he.mp4", None), (".dvspipe-x", None)],
)
def test_missing_file_error_names_a_similar_file_beside_it(name: str, similar: str | None, tmp_path: Path) -> None:
    (tmp_path / "hello.mp4").touch()
    expected = f"; did you mean {tmp_path / similar}?" if similar else ""
    assert explain_missing(tmp_path / name) == f"no such file{expected}"
    assert explain_missing(tmp_path / "missing" / name) == "no such file"


def test_error_of_an_unfinished_file_names_the_file(tmp_path: Path) -> None:
    name = "a" * 252 + ".h5"  # with .part, too long for a file system
    with pytest.raises(FileError) as caught, lock_folder(tmp_path / f"{name}.part"):
        pass
    assert str(caught.value).startswith(f"{tmp_path / name}: cannot be written (")
