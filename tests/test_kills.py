"""Some kills, and that the harness tells a training whose bits differ."""

from pathlib import Path

import pytest

from tests import kills


def test_killed_trainings_end_with_the_bits_of_one_that_never_stopped():
    pytest.importorskip("h5py")
    figures = kills.run(6, seed=4, devices=["cpu"], most=3)
    assert figures.failure == "" and figures.at_operations >= 2 <= figures.at_instants
    assert figures.at_operations + figures.at_instants == 6


def test_a_training_that_ends_with_other_bits_is_told(tmp_path):
    killer = kills.Killer(tmp_path, "BINARYPROTO", "numpy")
    assert killer.operations > 100
    killer._wanted["small_iter_40.caffemodel"] += b"x"
    assert killer.run(1, most=0) == ([], "small_iter_40.caffemodel")
    del killer._wanted["small_iter_40.caffemodel"]
    assert killer.run(2, most=0)[1].startswith("files ['small_deploy.prototxt', ")


def test_a_kill_comes_at_the_operation_that_it_is_meant_for(tmp_path):
    killer = kills.Killer(tmp_path, "BINARYPROTO", "numpy")
    folder = tmp_path / "killed"
    folder.mkdir()
    process, _ = killer._start(folder, killer.operations // 2)
    process.join()
    assert process.exitcode == -9
    left = [path for path in Path(folder, "snapshots").iterdir() if path.suffix != ".tmp"]
    assert left and not Path(folder, "snapshots", "small_iter_40.solverstate").exists()
