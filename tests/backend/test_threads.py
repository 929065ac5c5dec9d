"""Threads: how many, which library, who may, and that nobody can tell from the results."""

from __future__ import annotations

import os
import threading

import numpy
import pytest

from minicaffe.backend import get_backend
from minicaffe.backend.cpu import elementwise, get_num_threads, set_num_threads
from minicaffe.backend.cpu.runtime import threads
from minicaffe.backend.cpu.runtime.threads import launched
from minicaffe.elementwise import multiply, tanh, where
from minicaffe.errors import ParameterError
from minicaffe.layers.buffered import with_input
from minicaffe.layers.swish import swish
from minicaffe.window import Window

from .processes import printed, run

EVERYTHING = '''
import hashlib
import numpy
from minicaffe.backend import get_backend
from minicaffe.backend.cpu import set_num_threads, get_num_threads
from minicaffe.backend.cpu.runtime import threads
from minicaffe.window import Window

threads._Work.brief = 0  # all threads work, however little there is to do

def draw(seed, *shape):
    return numpy.random.default_rng(seed).standard_normal(shape).astype(numpy.float32)

def formula(x, y):
    return x * 0.3 + numpy.exp(y) / 3

def everything():
    """A hash of the bits of each primitive's results."""
    backend, window = get_backend("cpu"), Window((3, 3), (2, 1), (1, 0), (1, 1))
    x, w, b, dy = draw(0, 7, 6, 21, 40), draw(1, 10, 3, 3, 3), draw(2, 10), draw(3, 7, 10, 11, 38)
    pool = Window((3, 3), (2, 2), (1, 1), (1, 1), True)
    small = numpy.zeros((7, 6, 11, 21), numpy.float32)
    mask = numpy.zeros(small.shape, numpy.int32)
    results = {}
    def keep(name, *arrays):
        results[name] = hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()[:8]
    for engine in ("conv", "direct"):
        y, dw, db, dx = dy * 0, w * 0, b * 0, x * 0
        getattr(backend, engine + "_forward")(x, w, b, y, window, 2)
        getattr(backend, engine + "_backward_weight")(x, dy, dw, db, window, 2)
        getattr(backend, engine + "_backward_data")(dy, w, dx, window, 2)
        keep(engine, y, dw, db, dx)
    out = numpy.zeros((70, 90), numpy.float32)
    backend.matmul(draw(4, 70, 500), draw(5, 90, 500).T, out)
    keep("matmul", out)
    backend.max_pool_forward(x, small, mask, pool)
    backend.max_pool_backward(small, mask, dx)
    keep("max pooling", small, mask, dx)
    backend.average_pool_forward(x, small, pool)
    backend.average_pool_backward(small, dx, pool)
    keep("average pooling", small, dx)
    backend.map(formula, dx, x, x)
    keep("map", dx)
    for shape in ((7, 6, 21, 40), (7 * 6 * 21, 40), (1, 1, 1, 7 * 6 * 21 * 40)):
        wide, one = x.reshape(shape), draw(6, 1, shape[1], *(1,) * (len(shape) - 2))
        backend.map(lambda x, w: x * w, dx.reshape(shape), wide, one)
        backend.sums(lambda x, w: (x * w, x), (one, one * 0), wide, one)
        keep(f"channels {shape}", dx, one)
    for name, axes in (("across", (1,)), ("within", (2, 3))):
        backend.neighbour_sums(x, dx, 3, axes)
        keep(name, dx)
    backend.softmax(x.reshape(7 * 6, 21, 40), dx.reshape(7 * 6, 21, 40))
    keep("softmax", dx)
    backend.uniform(numpy.array([5], numpy.uint64), dx)
    keep("uniform", dx)
    return results
'''


def test_results_have_the_same_bits_for_any_number_of_threads():
    lines = printed(EVERYTHING + """
for count in (1, 2, 3):
    set_num_threads(count)
    print(sorted(everything().items()))
""", NUMBA_NUM_THREADS="3")
    assert len(lines) == 3 and lines[0] == lines[1] == lines[2]


def test_the_number_of_threads_comes_from_the_environment():
    code = "from minicaffe.backend.cpu import get_num_threads; print(get_num_threads())"
    assert printed(code, NUMBA_NUM_THREADS="4", MINICAFFE_THREADS="3") == ["3"]
    environment = {"NUMBA_NUM_THREADS": "4"}
    if "MINICAFFE_THREADS" not in os.environ:
        assert printed(code, **environment) == ["4"]


def test_so_many_threads_work():
    code = """
import numpy
from minicaffe.backend.cpu.runtime.parallel import parallel
@parallel(cache=False)
def mark(part, parts, out):
    out[part] = 10 * part + parts
out = numpy.zeros(4, numpy.int64)
for count in (1, 3): mark(count, out); print(out.tolist())
"""
    assert printed(code, NUMBA_NUM_THREADS="4") == ["[1, 0, 0, 0]", "[3, 13, 23, 0]"]


@pytest.mark.parametrize("nanoseconds, count", [(0, 1), (19_999, 1), (20_000, 3), (1e9, 3)])
def test_short_work_is_done_by_one_thread(monkeypatch, nanoseconds, count):
    monkeypatch.setattr(threads, "_count", 3)
    assert threads.threads_for(nanoseconds) == count


@pytest.mark.parametrize("formula, few, many", [
    (multiply, 100_000, 200_000), (swish, 80_000, 100_000), (tanh, 60_000, 70_000),
    (with_input(lambda x, y: where(x > 0, x, y)), 100_000, 200_000)])
def test_a_map_of_few_elements_runs_on_one_thread_by_how_long_its_formula_takes(
        monkeypatch, formula, few, many):
    counts = []

    def loop(*form):
        return lambda count, *rest: counts.append(count)

    monkeypatch.setattr(threads, "_count", 3)
    monkeypatch.setattr(elementwise, "loop", loop)
    calls = elementwise.Calls()
    for size in (few, many):
        x = numpy.zeros(size, numpy.float32)
        calls.map(formula, (x,), (x, 0.5))
    assert counts == [1, 3]


@pytest.mark.parametrize("text, got", [("0", "0"), ("-1", "'-1'"), ("two", "'two'"), ("", "''")])
def test_a_bad_number_in_the_environment_is_an_error_at_once(text, got):
    result = run("from minicaffe.backend import get_backend; get_backend('cpu')",
                 MINICAFFE_THREADS=text)
    assert result.stderr.splitlines()[-1].endswith(
        f"MINICAFFE_THREADS: expected a whole number of 1 or more, got {got}.")


@pytest.mark.parametrize("count", [0, -2, 1.5, "2", True, None])
def test_a_bad_number_of_threads_is_an_error(count):
    before = get_num_threads()
    with pytest.raises(ParameterError) as error:
        set_num_threads(count)
    assert str(error.value) == \
        f"set_num_threads: expected a whole number of 1 or more, got {count!r}."
    assert get_num_threads() == before


def test_more_threads_than_numba_starts_is_an_error():
    with pytest.raises(ParameterError) as error:
        set_num_threads(10_000)
    assert str(error.value) == (
        f"set_num_threads: expected at most {launched()} threads, got 10000. Hint: set "
        "NUMBA_NUM_THREADS before the program starts, to start more.")


LAYER = EVERYTHING + """
set_num_threads(2)
everything()
import numba
print(numba.threading_layer())
"""
PRIORITY = "import minicaffe.backend.cpu, numba; print(*numba.config.THREADING_LAYER_PRIORITY)"


def test_openmp_is_preferred_and_the_order_is_ours():
    assert printed(PRIORITY) == ["omp tbb workqueue"]
    try:
        from numba.np.ufunc import omppool  # noqa: F401
    except ImportError:
        pytest.skip("numba was built without OpenMP")
    assert printed(LAYER, NUMBA_NUM_THREADS="2") == ["omp"]


def test_the_users_choice_of_a_layer_is_respected():
    assert printed(LAYER, NUMBA_NUM_THREADS="2", NUMBA_THREADING_LAYER="workqueue") == \
        ["workqueue"]
    assert printed(PRIORITY, NUMBA_THREADING_LAYER_PRIORITY="workqueue omp tbb") == [
        "workqueue omp tbb"]


TOGETHER = EVERYTHING + """
import threading
set_num_threads(2)
expected, wrong = everything(), []
def work():
    for _ in range(10):
        if everything() != expected: wrong.append(1)
workers = [threading.Thread(target=work) for _ in range(3)]
for worker in workers: worker.start()
for worker in workers: worker.join()
print(len(wrong))
"""


@pytest.mark.parametrize("layer", ["default", "workqueue"])
def test_python_threads_may_call_at_once(layer):
    assert printed(TOGETHER, NUMBA_NUM_THREADS="2", NUMBA_THREADING_LAYER=layer) == ["0"]


FORK = """
import os
def forked(work):
    child = os.fork()
    if child == 0:
        try: print(work(), flush=True)
        finally: os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_works_on_one_thread_and_says_why_not_on_more():
    lines = printed(EVERYTHING + FORK + """
set_num_threads(2)
expected = everything()
def work():
    try: set_num_threads(2)
    except Exception as error: message = str(error)
    return everything() == expected, get_num_threads(), message
forked(work)
print(everything() == expected, get_num_threads())
""", NUMBA_NUM_THREADS="2")
    assert lines == [
        "(True, 1, \"set_num_threads: expected at most 1 threads, got 2. Hint: a forked process "
        "has only one; start it with multiprocessing's 'spawn' for more.\")", "True 2"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_child_forked_before_any_work_or_during_it_works():
    lines = printed(EVERYTHING + FORK + """
from minicaffe.backend.cpu.runtime.threads import lock
set_num_threads(2)
forked(lambda: sorted(everything().items()))
import threading
held, done = threading.Event(), threading.Event()
def hold():
    with lock:
        held.set(); done.wait()
threading.Thread(target=hold).start()
held.wait()
forked(lambda: sorted(everything().items()))
done.set()
""", NUMBA_NUM_THREADS="2")
    assert len(lines) == 2 and lines[0] == lines[1]


def test_a_primitive_waits_for_another_threads():
    """Scratch buffers are shared: two primitives at once would write into each other's."""
    from minicaffe.backend.cpu.runtime.threads import lock
    backend, window = get_backend("cpu"), Window((1, 1), (1, 1), (0, 0), (1, 1))
    x = numpy.ones((1, 1, 2, 2), numpy.float32)
    y, finished = numpy.zeros_like(x), threading.Event()

    def work():
        backend.conv_forward(x, x[:, :, :1, :1].copy(), None, y, window, 1)
        finished.set()

    worker = threading.Thread(target=work)
    with lock:
        worker.start()
        assert not finished.wait(0.05)
    worker.join()
    assert (y == 1).all()
