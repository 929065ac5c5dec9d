"""The folder of snapshots: one training of a name at a time, and nothing left of what never was."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from minicaffe.errors import ParameterError
from minicaffe.tools.snapshot_folder import SnapshotFolder

from .test_train import accuracy_of


def is_free(prefix):
    try:
        SnapshotFolder(prefix).close()
    except ParameterError as error:
        assert "in which no other training writes snapshots called 'x'" in str(error)
        return False
    return True


def test_whoever_comes_while_another_lets_go_shares_the_folder_with_nobody(tmp_path, monkeypatch):
    prefix, others, real = str(tmp_path / "x"), [], Path.unlink

    def unlink(path, **options):  # the first statement that others can see: they come before, after
        assert not is_free(prefix)
        real(path, **options)
        others.append(SnapshotFolder(prefix))
    first = SnapshotFolder(prefix)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", unlink)
        first.close()
    assert not is_free(prefix)
    others[0].close()
    assert is_free(prefix) and list(tmp_path.iterdir()) == []


def test_a_lock_whose_file_another_removes_before_it_is_locked_is_none(tmp_path, monkeypatch):
    prefix, holders = str(tmp_path / "x"), []
    from minicaffe.tools import snapshot_folder
    real = snapshot_folder.try_lock

    def late(file):  # between open and lock another one lets go, and a third comes
        monkeypatch.undo()
        first.close()
        holders.append(SnapshotFolder(prefix))
        return real(file)
    first = SnapshotFolder(prefix)
    monkeypatch.setattr(snapshot_folder, "try_lock", late)
    with pytest.raises(ParameterError, match="where one does"):
        SnapshotFolder(prefix)
    holders[0].close()
    assert is_free(prefix)


def test_of_many_at_once_one_has_the_folder(tmp_path):
    prefix, holding, most = str(tmp_path / "new" / "x"), [], []

    def work():
        for _ in range(100):
            try:
                folder = SnapshotFolder(prefix)
            except ParameterError as error:
                assert "where one does" in str(error)
                continue
            holding.append(1)
            most.append(len(holding))
            holding.pop()
            folder.close()
    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1 and len(most) >= 6 and not list(tmp_path.glob("new/*"))
    assert is_free(prefix)


def test_a_folder_that_was_made_anew_by_another_is_not_written(tmp_path, caplog):
    prefix = str(tmp_path / "a" / "x")
    first = SnapshotFolder(prefix)
    first.hold()
    shutil.rmtree(tmp_path / "a")
    second = SnapshotFolder(prefix)
    with pytest.raises(BlockingIOError, match="the folder was removed, and another training now "
                                              "writes snapshots of this name there"):
        first.hold()
    second.hold()
    first.close()  # it does not take the other's lock away
    assert not is_free(prefix)
    second.close()
    assert is_free(prefix) and "made anew" not in caplog.text


def test_a_folder_that_was_removed_is_taken_again(tmp_path, caplog):
    prefix = str(tmp_path / "a" / "x")
    first = SnapshotFolder(prefix)
    shutil.rmtree(tmp_path / "a")
    first.hold()
    assert "the folder was removed while training; it is made anew" in caplog.text
    assert not is_free(prefix)
    first.close()
    assert is_free(prefix)


def test_a_killed_holder_lets_go(tmp_path):
    code = ("import os, sys; from minicaffe.tools.snapshot_folder import SnapshotFolder; "
            "folder = SnapshotFolder(sys.argv[1]); print('held', flush=True); input()")
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "x")],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    assert not is_free(str(tmp_path / "x"))
    process.kill()
    process.communicate()
    assert is_free(str(tmp_path / "x"))


def test_only_what_a_killed_training_of_this_name_was_writing_is_removed(tmp_path):
    own = (".x[1]_iter_9.caffemodel.0a1b.tmp", "..x[1]_iter_9.caffemodel.0a.tmp.7b.tmp",
           ".x[1]_iter_10.solverstate.h5.ff.tmp", ".x[1]_labels.txt.0a.tmp",
           ".x[1]_deploy.prototxt.0a.tmp", ".x[1]_mean.binaryproto.0a.tmp")
    others = (".my_x[1]_iter_9.caffemodel.0a1b.tmp", ".x1_iter_9.caffemodel.0a1b.tmp",
              ".x[1]_iter_9.caffemodel", "x[1]_iter_9.caffemodel", ".x[1]_notes.txt.0a.tmp")
    for name in own + others:
        (tmp_path / name).touch()
    SnapshotFolder(str(tmp_path / "x[1]")).close()
    assert sorted(os.listdir(tmp_path)) == sorted(others)


def test_a_folder_made_for_nothing_is_removed(train, tmp_path):
    status, _, said = train("--snapshot-dir", "mistyped/deep", "--resume")
    assert status == 2 and "expected a state 'mistyped/deep/digits_iter_N.solverstate'" in said
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "there").mkdir()
    assert train("--snapshot-dir", "there", "--resume")[0] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


# ------------------------------------------------------------------------------ as a user sees it

def test_a_damaged_newest_snapshot_is_told_with_the_command_that_goes_on(train):
    train("--iterations", 30, "--snapshot", 10)
    wanted = Path("snapshots/digits_iter_30.caffemodel").read_bytes()
    os.truncate("snapshots/digits_iter_30.solverstate", 20000)
    for resume in (["--resume"], ["--resume", "snapshots/digits_iter_30.solverstate"]):
        status, lines, said = train("--iterations", 30, *resume)
        assert status == 2 and lines == []
        assert said.startswith("FileFormatError: snapshots/digits_iter_30.solverstate at byte ")
        assert ("Hint: the newest whole snapshot is snapshots/digits_iter_20.solverstate: --resume "
                "snapshots/digits_iter_20.solverstate, in Python") in said
    status, _, _ = train("--iterations", 30, "--resume", "snapshots/digits_iter_20.solverstate")
    assert status == 0 and wanted == Path("snapshots/digits_iter_30.caffemodel").read_bytes()


def test_a_flipped_bit_in_the_weights_ends_a_resumed_training(train, caplog):
    train("--iterations", 30, "--snapshot", 10)
    path = Path("snapshots/digits_iter_30.caffemodel")
    content = bytearray(path.read_bytes())
    content[30000] ^= 1
    path.write_bytes(content)
    status, _, said = train("--iterations", 40, "--resume")
    assert status == 2 and said.startswith(
        "FileFormatError: snapshots/digits_iter_30.caffemodel: expected the weights that digits_"
        "iter_30.solverstate was written with, got others, by their check sum")
    assert "--resume snapshots/digits_iter_20.solverstate" in said
    assert "going on from there" not in caplog.text
    train("--iterations", 40, "--resume", "snapshots/digits_iter_20.solverstate")
    assert "snapshots/digits_iter_20.solverstate: going on from there" in caplog.text


def test_a_folder_removed_while_training_is_made_anew_and_says_so(train, monkeypatch, caplog):
    from minicaffe.solvers import Solver
    real = Solver.step

    def step(solver, iterations):
        real(solver, 10)
        shutil.rmtree("snapshots")
        real(solver, iterations - 10)
    monkeypatch.setattr(Solver, "step", step)
    status, lines, _ = train("--iterations", 30, "--snapshot", 8)
    assert status == 0 and accuracy_of(lines) > 0
    assert caplog.text.count("snapshots: the folder was removed while training") == 1
    assert sorted(path.name for path in Path("snapshots").glob("*.solverstate")) == [
        "digits_iter_24.solverstate", "digits_iter_30.solverstate"]


def test_a_training_whose_folder_another_one_took_says_so_and_ends(train, monkeypatch, caplog):
    from minicaffe.solvers import Solver
    real, taken = Solver.step, []

    def step(solver, iterations):
        shutil.rmtree("snapshots")
        taken.append(SnapshotFolder("snapshots/digits"))
        real(solver, iterations)
    monkeypatch.setattr(Solver, "step", step)
    status, lines, said = train("--iterations", 30, "--snapshot", 8)
    told = "the folder was removed, and another training now writes snapshots of this name there"
    assert status == 2 and accuracy_of(lines) > 0 and told in said
    assert caplog.text.count(told) == 3 and os.listdir("snapshots") == [".digits.lock"]
    taken[0].close()
