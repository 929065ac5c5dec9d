"""Everything that relies on parts of numba and llvmlite which they do not promise to keep.

The bounds for numba in setup.cfg are what this file is tested with.
"""

from __future__ import annotations

import hashlib
import logging
import pickle
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import llvmlite
import llvmlite.binding
import numba
from llvmlite import ir
from numba.core import caching, cgutils, compiler, event, ir_utils, serialize, sigutils, types
from numba.np.ufunc import parallel

from ....errors import DeviceError

log = logging.getLogger("minicaffe")


# ------------------------------------------------------------------------------------ dispatchers

def _replace(dispatcher, name: str, value) -> None:
    """Set an attribute, which numba looks up, of one dispatcher (what ``numba.njit`` returns).

    Errors: DeviceError where this numba has no such attribute, and so would not look it up.
    """
    if not hasattr(dispatcher, name):
        kind = type(dispatcher).__name__
        raise DeviceError("device 'cpu'", "a numba that it knows, with its compiler enabled",
                          f"numba {numba.__version__}, whose {kind} has no {name}")
    setattr(dispatcher, name, value)


def compile_within(dispatcher, guard: Callable[[], AbstractContextManager]) -> None:
    """Have a dispatcher compile, or load, in a context of its own.

    Relies on what a call from Python enters for new types of arguments, ``typeof_pyval`` to see
    what they are and then ``_compile_for_args``, and on ``compile``, which all else enters.
    """
    def guarded(function):
        def run(*arguments, **named):
            with guard():
                return function(*arguments, **named)
        return run

    for name in ("typeof_pyval", "_compile_for_args", "compile"):
        _replace(dispatcher, name, guarded(getattr(dispatcher, name)))


def compile_once_for_all_literals(dispatcher) -> None:
    """Compile a function once, not anew for each number that stands in a call of it.

    Relies on ``get_call_template``, by which compiled code that calls the function asks for it.
    """
    template = dispatcher.get_call_template
    _replace(dispatcher, "get_call_template", lambda arguments, named: template(
        tuple([types.unliteral(kind) for kind in arguments]), named))


def refuse_python(dispatcher, refuse: Callable) -> None:
    """Have a call from Python run ``refuse``; the dispatcher has no way in from there.

    Relies on ``_insert``, which takes the address of the way in, here null, and on
    ``_compile_for_args``, which is called as no way in is known.
    """
    _replace(dispatcher, "_insert", lambda *way_in: None)
    _replace(dispatcher, "_compile_for_args", refuse)


def address(dispatcher, kinds: tuple, for_c: bool = False) -> int:
    """Where the function begins that is compiled for arguments of these types.

    Relies on the names in ``fndesc`` and on ``get_pointer_to_function``.

    Args:
        for_c: whether it is to be called as C calls, or else by ``call_at``.
    """
    dispatcher.compile(kinds)
    made = dispatcher.overloads[kinds]
    name = made.fndesc.llvm_cfunc_wrapper_name if for_c else made.fndesc.llvm_func_name
    return made.library.get_pointer_to_function(name)


def when_compiling(told: Callable[[str], None]) -> None:
    """Have ``told`` called with the name of a function's module when its compilation begins.

    Relies on the event "numba:compile" and its data.
    """
    class Listener(event.Listener):
        def on_start(self, event):
            told(event.data["dispatcher"].py_func.__module__ or "")

        def on_end(self, event):
            pass

    event.register("numba:compile", Listener())


# ------------------------------------------------------------------------------------------ cache

def keep_compiled(dispatcher, source: str, read: Callable[[str], bytes | None],
                  write: Callable[[str, bytes], None]) -> None:
    """Have what a dispatcher compiles written, and read when it is to be compiled again.

    Relies on ``_cache`` and on its two methods that ``compile`` calls.

    Args:
        source: changes whenever the function's source does.
        read: the bytes that were written under a name, or None; they must be the same, as numba
            unpickles them and LLVM loads them.
    """
    _replace(dispatcher, "_cache", _Kept(dispatcher, source, read, write))


class _Kept(caching._Cache):
    """What numba asks for compiled code.  It holds one name for each function and types."""

    cache_path = None

    def __init__(self, dispatcher, source, read, write):
        self._dispatcher, self._source = dispatcher, source
        self._read, self._write = read, write

    def load_overload(self, sig, target_context):
        target_context.refresh()  # registers what the code may refer to
        kinds, name = self._place(sig)
        content = self._read(name)
        if content is None:
            return None
        try:
            made = compiler.CompileResult._rebuild(target_context, *pickle.loads(content))
        except Exception:  # such as a class of arguments that is no longer there
            log.debug("%s: compiled code that cannot be loaded is replaced", name, exc_info=True)
            return None
        return made if tuple(made.signature.args) == kinds else None

    def save_overload(self, sig, data):
        if data.library.has_dynamic_globals or any(not part.can_cache for part in data.lifted):
            return  # it contains addresses of this process
        self._write(self._place(sig)[1], serialize.dumps(data._reduce()))

    def _place(self, sig) -> tuple[tuple, str]:
        """The types of the arguments, and the name to write code for them under."""
        kinds = tuple(sigutils.normalize_signature(sig)[0])
        key = "\n".join((self._source, *_identity(self._dispatcher), *map(str, kinds)))
        name = re.sub(r"[^A-Za-z0-9_]+", "_", self._dispatcher.py_func.__qualname__)[-80:]
        return kinds, f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:24]}"

    def enable(self):
        pass

    def disable(self):
        pass

    def flush(self):
        pass


def _identity(dispatcher) -> tuple[str, ...]:
    """What tells a function from others of the same source: its name and place, what its closure
    holds, and how it is to be compiled."""
    function = dispatcher.py_func
    held = tuple([cell.cell_contents for cell in function.__closure__ or ()])
    options = sorted((name, sorted(value) if isinstance(value, (set, frozenset)) else value)
                     for name, value in dispatcher.targetoptions.items())
    return (function.__module__, function.__qualname__, str(function.__code__.co_firstlineno),
            function.__code__.co_code.hex(), serialize.dumps(held).hex() if held else "",
            repr(options))


# ------------------------------------------------------------------------------ versions, target

def versions() -> tuple[str, str]:
    """Of numba and LLVM's."""
    return numba.__version__, llvmlite.__version__


def target() -> tuple[str, str, str]:
    """Name and features, such as "+avx2,-avx512f", of the processor that numba compiles for, and
    the system.

    Relies on the settings NUMBA_CPU_NAME and NUMBA_CPU_FEATURES as numba keeps them.
    """
    name, features = numba.config.CPU_NAME, numba.config.CPU_FEATURES
    return (llvmlite.binding.get_host_cpu_name() if name is None else name,
            llvmlite.binding.get_host_cpu_features().flatten() if features is None else features,
            llvmlite.binding.get_default_triple())


# ---------------------------------------------------------------------------------------- threads

def most_threads() -> int:
    """How many threads numba can start: NUMBA_NUM_THREADS, or the number of cores."""
    return numba.config.NUMBA_NUM_THREADS


def prefer_layers(names: Sequence[str]) -> None:
    """Set the order in which numba looks for a library of threads, unless one was chosen."""
    if numba.config.THREADING_LAYER == "default":
        numba.config.THREADING_LAYER_PRIORITY = list(names)


def has_started_threads() -> bool:
    """Whether numba has threads; true where this numba does not tell."""
    return getattr(parallel, "_is_initialized", True)


# --------------------------------------------------------------------------------- code generation

def definition(func_ir, variable):
    """What a function assigns to a variable, if that is known and one thing."""
    return ir_utils.guard(ir_utils.get_definition, func_ir, variable)


def renew_definitions(func_ir) -> None:
    """Have numba look up anew what defines each variable, as assignments were replaced."""
    func_ir._definitions = ir_utils.build_definitions(func_ir.blocks)


def call_at(context, builder, place, kinds: tuple, arguments: list) -> None:
    """Call a compiled function that returns nothing, with arguments of these types, at the place
    that ``address`` returned."""
    convention = context.call_conv
    function = builder.inttoptr(place, convention.get_function_type(
        types.none, kinds).as_pointer())
    convention.call_function(builder, function, types.none, kinds, arguments)


def without_owners(context, builder, kind, value: ir.Value) -> ir.Value:
    """A value whose arrays do not count who holds them: that is up to Python."""
    if isinstance(kind, types.Array):
        array = context.make_array(kind)(context, builder, value)
        array.meminfo = cgutils.get_null_value(array.meminfo.type)
        array.parent = cgutils.get_null_value(array.parent.type)
        return array._getvalue()
    if isinstance(kind, types.BaseTuple):
        parts = [without_owners(context, builder, each, builder.extract_value(value, i))
                 for i, each in enumerate(kind.types)]
        for i, part in enumerate(parts):
            value = builder.insert_value(value, part, i)
    return value
