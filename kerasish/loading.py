"""What the config of a stranger may cost, and what a load says when it fails: an error that names the place in the file."""

import contextlib
import math
import os
import re
import reprlib
import threading

MAX_DEPTH = 150  # dicts and lists in each other: fifty models
MAX_ITEMS = 5_000_000  # values in a config
MAX_OBJECTS = 50_000  # layers, initializers, policies, ... that one config may make
MAX_CALLS = 25_000  # layers run on shapes while a config is made into models, each run of a model in a model counted
MAX_OPS = 100_000  # ops in those runs
MAX_ATTEMPTS = 500_000  # calls of a graph looked at before their inputs are there
_TOO_MUCH = {
    "objects": "would make too many objects",
    "calls": "would run too many layers: are models nested in each other, each used several times?",
    "ops": "would run too many ops",
    "values": "asks for {size:,} parts of one thing",
    "attempts": "lists its calls in an order that takes too long to resolve",
    "bytes": "would make variables of {size:,} bytes",
}


class UnsafeFileError(ValueError):
    """The file asks for something that a model file has no reason to ask for."""


class _State(threading.local):
    load = None  # what is being loaded in this thread


_state = _State()


class Load:
    """One load: where it reads from, what it may still spend."""

    def __init__(self, source, memory):
        self.source, self.part, self.root = source, None, None
        self.left = {"objects": MAX_OBJECTS, "calls": MAX_CALLS, "ops": MAX_OPS, "values": MAX_ITEMS,
                     "attempts": MAX_ATTEMPTS, "bytes": memory}  # fmt: skip

    def take(self, config, part=None):
        """Check the size of the config that is loaded; errors name places inside it from now on."""
        self.root, self.part = config, part
        check_size(config, part or "the config")
        return config

    def spend(self, what, amount=1):
        self.left[what] -= max(amount, 0)
        if self.left[what] < 0:
            raise UnsafeFileError(f"{'The file' if self.source else 'The config'} {_TOO_MUCH[what].format(size=amount)}: refused.")

    def place(self, config, text):
        """Where ``config`` stands, such as ``m.keras, config.json, config.layers[2]``, as far as the text doesn't say it."""
        inner = _path_to(config, self.root) if isinstance(config, dict) else ""
        part = self.part if inner else None
        return ", ".join(str(part) for part in (self.source, part, inner) if part and str(part) not in text)


@contextlib.contextmanager
def loading(source=None, memory=None):
    """Around everything that makes objects of a config; gives the :class:`Load`, or None inside another load.

    With ``source`` (a file) it is always a load of its own, whose variables may take ``memory`` bytes. Whatever goes wrong inside is
    raised as a ValueError, or TypeError, that says where.
    """
    outer = _state.load
    if outer is not None and source is None:
        yield None
        return
    load = _state.load = Load(source, machine_memory() if memory is None else memory)
    try:
        yield load
    except Exception as error:
        explained = _explained(error, load)
        if explained is error:
            raise
        raise explained from error
    finally:
        _state.load = outer


def mark(error, config):
    """Remember on an error the innermost config that was being made when it came."""
    if not is_marked(error):
        with contextlib.suppress(AttributeError):  # some exceptions take no attributes
            error._config = config


def is_marked(error):
    """Whether a config inside the one that is being made has gone wrong."""
    return hasattr(error, "_config")


def spend(what, amount=1):
    """Count something against what the current load may cost; free outside of loads. UnsafeFileError when it is spent."""
    if _state.load is not None:
        _state.load.spend(what, amount)


def reserve(shape, dtype):
    """Count a variable before it is made: a config may ask for any shape."""
    load = _state.load
    if load is None or any(n is None or not isinstance(n, int) for n in shape):
        return  # the variable itself says what is wrong
    bits = re.search(r"\d+", dtype)
    load.spend("bytes", math.prod(shape) * (int(bits[0]) if bits else 8) // 8)


def allow(memory):
    """Let the variables of the current load take so many bytes, as its weights are known now."""
    if _state.load is not None:
        _state.load.left["bytes"] = memory


def machine_memory():
    """Bytes that this machine has."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not a POSIX system
        return 2**46


def check_size(config, what):
    """UnsafeFileError where a config is nested too deeply (or in itself), or is too large."""
    todo, count = [(config, 1)], 0
    while todo:
        value, depth = todo.pop()
        count += len(value) if isinstance(value, (dict, list, tuple)) else 1
        if depth > MAX_DEPTH or count > MAX_ITEMS:
            limit = f"{MAX_DEPTH} levels" if depth > MAX_DEPTH else f"{MAX_ITEMS:,} values"
            raise UnsafeFileError(f"{what} has more than {limit}: refused.")
        children = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
        todo.extend((child, depth + 1) for child in children if isinstance(child, (dict, list, tuple)))


class _Brief(reprlib.Repr):
    """Configs as messages show them: a little of each part."""

    def __init__(self):
        super().__init__()
        self.maxdict = self.maxlist = self.maxtuple = 12
        self.maxlevel, self.maxstring, self.maxother, self.maxlong = 4, 120, 120, 60

    def repr_int(self, x, level):
        return repr(x) if x.bit_length() < 200 else f"<an integer of {x.bit_length()} bits>"


def brief(value):
    """A value from a file for an error's message: never long, whatever it holds."""
    text = _Brief().repr(value)
    return text if len(text) <= 1000 else f"{text[:1000]}..."


# ---- errors
_UNEXPECTED = (LookupError, ArithmeticError, AttributeError, AssertionError, MemoryError, RuntimeError, BufferError, EOFError, OSError)
_KEPT = (FileNotFoundError, PermissionError, IsADirectoryError, ImportError)
_MAX_MESSAGE = 4000


def _explained(error, load):
    """The error with the place in its message; what no loader should raise becomes a ValueError."""
    if isinstance(error, _KEPT) or not isinstance(error, (ValueError, TypeError, *_UNEXPECTED)):
        return error  # of the user's own code, or of the machine
    text = _text(error)
    where = load.place(getattr(error, "_config", None), text)
    if len(text) > _MAX_MESSAGE:
        text = f"{text[: _MAX_MESSAGE // 2]} [...] {text[-_MAX_MESSAGE // 2 :]}"
    message = f"{where}: {text}" if where else text
    if type(error) in (ValueError, TypeError, UnsafeFileError):
        error.args = (message,)
        return error
    kind = next((kind for kind in (UnsafeFileError, TypeError) if isinstance(error, kind)), ValueError)
    return kind(message)


def _text(error):
    if isinstance(error, RecursionError):
        return "it is nested too deeply."
    if isinstance(error, MemoryError):
        return f"it needs more memory than there is. {error}"
    if isinstance(error, (ValueError, TypeError, OSError)):
        return str(error)
    if isinstance(error, KeyError):
        return f"'{error.args[0] if error.args else ''}' is missing."
    return f"it can't be read: {type(error).__name__}: {error}"


def _path_to(config, root):
    """Names and indices that lead from ``root`` to ``config``, or to what it holds, or ""."""
    wanted = {id(config), id(config.get("config"))} - {id(None)}
    todo = [(root, "")]
    for _ in range(MAX_ITEMS):
        if not todo:
            break
        value, path = todo.pop()
        if path and id(value) in wanted:
            return path.lstrip(".").removesuffix(".config") if id(value) != id(config) else path.lstrip(".")
        if isinstance(value, dict):
            todo.extend((child, f"{path}.{str(key)[:60]}") for key, child in value.items() if isinstance(child, (dict, list, tuple)))
        elif isinstance(value, (list, tuple)):
            todo.extend((child, f"{path}[{i}]") for i, child in enumerate(value) if isinstance(child, (dict, list, tuple)))
    return ""
