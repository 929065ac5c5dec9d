"""What the tests of ``train.py`` share."""

import pytest

from minicaffe import cli


@pytest.fixture
def train(tmp_path, monkeypatch, capsys):
    """Runs train.py in an empty folder; returns (exit status, its lines, what it said aside)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        status = cli.train([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return status, said.out.splitlines(), said.err
    return run
