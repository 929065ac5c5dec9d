"""The ``minicaffe`` command: what it knows, and that it answers at once."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from minicaffe import cli


@pytest.mark.parametrize("arguments", [["--help"], ["plot", "--help"], ["classify", "--help"],
                                       ["show", "--help"]])
def test_help_waits_for_nothing_heavy(arguments):
    heavy = ("numba", "h5py", "tqdm", "matplotlib", "PIL", "minicaffe.solvers")
    code = ("import sys; from minicaffe import cli\n"
            f"try: cli.main({arguments})\n"
            f"finally: print([name for name in {heavy} if name in sys.modules], file=sys.stderr)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.startswith("usage: minicaffe")
    assert done.stderr.strip() == "[]"


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["--help"])
    assert caught.value.code == 0
    said = capsys.readouterr().out
    for command in ("train", "classify", "show", "summary", "plot", "models"):
        assert f"\n    {command} " in said


def test_models_are_listed_with_what_they_are_and_in_the_help_of_train(capsys):
    from minicaffe.tools import models
    assert cli.main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == models.names()
    assert "lenet          mnist     LeNet on MNIST, as Caffe published it: the net with which" in \
        next(line for line in lines if line.startswith("lenet"))
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert ", ".join(models.names()) in said


@pytest.mark.parametrize("command", list(cli.COMMANDS))
def test_every_command_has_help_with_examples_of_its_own(capsys, command):
    with pytest.raises(SystemExit) as caught:
        cli.main([command, "--help"])
    said = capsys.readouterr().out
    assert caught.value.code == 0 and f"examples:\n  minicaffe {command}" in said
    assert "COMMAND" not in said


@pytest.mark.parametrize("arguments, message", [
    ([], "the following arguments are required: COMMAND"),
    (["clasify"], "unknown command 'clasify'. Hint: did you mean 'classify'?"),
    (["trian", "--iterations", "5"], "unknown command 'trian'. Hint: did you mean 'train'?"),
    (["net.prototxt"], "unknown command 'net.prototxt'. Hint: the commands are train, classify, "),
    (["plot"], "the following arguments are required: LOG.jsonl")])
def test_what_is_no_command_is_told(capsys, arguments, message):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2 and message in capsys.readouterr().err


def test_the_command_takes_its_arguments_from_the_system(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["minicaffe", "--version"])
    with pytest.raises(SystemExit):
        cli.main()
    assert capsys.readouterr().out.startswith("minicaffe ")


@pytest.mark.parametrize("arguments, message", [
    (["train", "--snapshots", "5"], "unknown argument '--snapshots'. Hint: did you mean "
                                    "'--snapshot'?"),
    (["plot", "a.jsonl", "--bogus"], "unknown argument '--bogus'. Hint: minicaffe plot --help "
                                     "lists all.")])
def test_an_option_that_is_none_gets_a_suggestion(capsys, arguments, message):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    said = capsys.readouterr().err
    assert caught.value.code == 2 and message in said
    assert said.startswith(f"usage: minicaffe {arguments[0]} ")


def test_a_reader_who_leaves_is_no_error(tmp_path, monkeypatch, capsys):
    class Gone:
        def write(self, text):
            raise BrokenPipeError

    (tmp_path / "log.jsonl").write_text('{"event": "train", "iteration": 0, "loss": 1.5}')
    monkeypatch.setattr(sys, "stdout", Gone())
    assert cli.main(["plot", str(tmp_path / "log.jsonl")]) == 0
    assert capsys.readouterr().err == ""


def test_a_stream_that_is_closed_hears_nothing(tmp_path):
    """As by ``2>&-``: Python has None for it then."""
    said = subprocess.run(
        [sys.executable, "-c", "import os, sys; os.close(2); os.execv(sys.executable, "
         "[sys.executable, '-m', 'minicaffe', 'train', '--iterations', '1', '--device', 'numpy'])"],
        stdout=subprocess.PIPE, cwd=tmp_path, text=True)
    assert said.returncode == 0 and said.stdout.splitlines()[-1].startswith("test accuracy = ")


def test_ctrl_c_while_a_command_is_imported_ends_it_quietly(monkeypatch, capsys):
    def interrupted(*names):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.importlib, "import_module", interrupted)
    for command in (lambda: cli.main(["train"]), lambda: cli.train([])):
        try:
            status = command()
        except KeyboardInterrupt:  # which would end pytest itself
            pytest.fail("the interrupt was not caught")
        said = capsys.readouterr()
        assert status == 130
        assert (said.out, said.err) == ("", "interrupted\n")


@pytest.mark.parametrize("imported", ["numpy", "minicaffe.errors", "minicaffe.solvers.sgd",
                                      "numba.core.config"])
def test_ctrl_c_ends_train_py_quietly_whatever_it_imports(imported, tmp_path):
    script = Path(cli.__file__).parents[1] / "train.py"
    if not script.exists():
        pytest.skip("train.py is not installed")
    training = subprocess.Popen([sys.executable, "-X", "importtime", script, "--iterations", "1"],
                                cwd=tmp_path, text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)
    for line in training.stderr:  # each tells of a module that has been imported
        if line.split()[-1] == imported:
            training.send_signal(signal.SIGINT)
            break
    _, said = training.communicate(timeout=60)
    assert training.returncode == 130 and "Traceback" not in said
