import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import minicaffe


def in_a_fresh_python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_minicaffe_imports_nothing_heavy():
    heavy = ["numba", "llvmlite", "h5py", "tqdm", "matplotlib", "PIL", "scipy", "cupy",
             "minicaffe.solvers", "minicaffe.layers.convolution", "minicaffe.testing"]
    found = in_a_fresh_python(
        f"import sys, minicaffe; print([name for name in {heavy} if name in sys.modules])")
    assert found == "[]"


def test_a_net_on_the_device_numpy_needs_no_numba():
    found = in_a_fresh_python(
        "import sys; sys.modules['numba'] = None\n"
        "import minicaffe as caffe\n"
        "from minicaffe import layers as L\n"
        "net = caffe.Net(L.Softmax(L.Input(shape={'dim': [1, 4]})).to_proto(), caffe.TEST,"
        " device='numpy')\n"
        "print(net.forward()['Softmax1'].tolist())")
    assert found == "[[0.25, 0.25, 0.25, 0.25]]"


def test_without_numba_the_default_device_says_what_to_do():
    found = in_a_fresh_python(
        "import sys; sys.modules['numba'] = None\n"
        "import minicaffe as caffe\n"
        "from minicaffe import layers as L\n"
        "try: caffe.Net(L.Input(shape={'dim': [1]}).to_proto(), caffe.TEST)\n"
        "except caffe.MinicaffeError as error: print(error)")
    assert found.startswith("device 'cpu': expected numba, which compiles its kernels, got ")
    assert found.endswith("Hint: pip install numba, or use the device 'numpy'.")


def test_the_package_has_a_version():
    assert [part.isdigit() for part in minicaffe.__version__.split(".")[:2]] == [True, True]


def test_every_public_name_is_there():
    for name in minicaffe.__all__:
        assert getattr(minicaffe, name) is not None, name


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'minicaffe' has no attribute 'Nett'"):
        minicaffe.Nett  # noqa: B018


def test_every_folder_of_the_package_is_installed_and_nothing_beside_it(monkeypatch):
    setuptools = pytest.importorskip("setuptools")
    root = Path(__file__).parent.parent
    if not (root / "setup.py").is_file():
        pytest.skip("not a checkout")
    told = {}
    monkeypatch.setattr(setuptools, "setup", lambda **options: told.update(options))
    monkeypatch.chdir(root)
    runpy.run_path("setup.py")
    folders = {".".join(path.parent.relative_to(root).parts)
               for path in (root / "minicaffe").rglob("*.py")}
    assert set(told["packages"]) == folders | {"minicaffe.models"}
    assert told["package_dir"] == {"minicaffe.models": "models"}
