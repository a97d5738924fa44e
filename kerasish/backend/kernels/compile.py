"""From a kernel's description to the address of machine code, which is kept on disk.

``compiled(emit, **options)`` gives the address of the kernel that ``emit(k, **options)`` writes (see ``emit.py``). It is
compiled once in the life of a machine: the object file's name is a hash of the source files of this folder, the options, the
processor and the versions, so a warm start writes no code at all and reads a few kilobytes.
"""

import contextlib
import functools
import hashlib
import os
import platform
import tempfile
import threading
import time

import llvmlite
import llvmlite.binding as llvm
from llvmlite import ir

from kerasish.backend.kernels.emit import Emitter

_MOST_BYTES = 1 << 26  # that the folder may take: some 25,000 kernels
_DAY = 86400.0
_lock = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: globals().update(_lock=threading.RLock()))
_addresses: dict = {}


class Target:
    """The processor that this process runs on."""

    def __init__(self):
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self.cpu, features = llvm.get_host_cpu_name(), llvm.get_host_cpu_features()
        self.features = features.flatten()
        self.lanes = 16 if features.get("avx512f") else 8 if features.get("avx") else 4
        self.registers = 32 if self.lanes == 16 or platform.machine().lower() in ("arm64", "aarch64") else 16
        self.machine = llvm.Target.from_default_triple().create_target_machine(cpu=self.cpu, features=self.features, opt=3, jit=True)
        self.engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), self.machine)


@functools.cache
def target():
    """The processor, looked at once."""
    return Target()


@functools.cache
def _fingerprint():
    """What an object file depends on besides its kernel's name and options."""
    digest, folder = hashlib.sha256(), os.path.dirname(__file__)
    for name in sorted(os.listdir(folder)):
        if name.endswith(".py"):
            with open(os.path.join(folder, name), "rb") as file:
                digest.update(file.read())
    digest.update(f"{llvmlite.__version__} {llvm.llvm_version_info} {target().cpu} {target().features}".encode())
    return digest.hexdigest()


@functools.cache
def cache_folder():
    """Where object files are kept: ``$KERASISH_CACHE``, else the user's cache folder; a temporary one where that can't be written."""
    base = os.environ.get("KERASISH_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or os.path.join(os.path.expanduser("~"), ".cache"), "kerasish"
    )
    try:
        os.makedirs(base, mode=0o700, exist_ok=True)
        if os.access(base, os.W_OK) and (not hasattr(os, "getuid") or os.stat(base).st_uid == os.getuid()):
            return base
    except OSError:
        pass
    return tempfile.mkdtemp(prefix="kerasish-kernels-")


def compiled(emit, **options):
    """The address of the kernel that ``emit(k, **options)`` writes, compiled or read from the cache where it isn't loaded yet."""
    key = f"{emit.__module__.rpartition('.')[2]}_{emit.__qualname__}_" + repr(sorted(options.items()))
    address = _addresses.get(key)
    if address is None:
        with _lock:
            address = _addresses.get(key)
            if address is None:
                address = _addresses[key] = _load(emit, options, key)
    return address


def _load(emit, options, key):
    name = "k" + hashlib.sha256((_fingerprint() + key).encode()).hexdigest()[:40]
    path = os.path.join(cache_folder(), name + ".o")
    code = _kept(path)
    if code is None:
        code = _object_code(emit, options, name)
        _keep(path, hashlib.sha256(code).digest() + code)
        _prune_once()
    engine = target().engine
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine.get_function_address(name)


def _kept(path):
    """What the cache has, None where it has nothing or something damaged. That it was wanted today is noted in the file's time."""
    try:
        with open(path, "rb") as file:
            content = file.read()
        if time.time() - os.stat(path).st_mtime > _DAY:
            os.utime(path)
    except OSError:
        return None
    return content[32:] if hashlib.sha256(content[32:]).digest() == content[:32] else None


def prune(folder, most=_MOST_BYTES):
    """Delete what nobody has wanted for the longest time, where the folder's object files take more than ``most`` bytes: down to three
    quarters of that. Other processes may do the same meanwhile, or want a file that goes: they compile it again."""
    files = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if entry.name.endswith(".o") or (entry.name.startswith("tmp") and time.time() - entry.stat().st_mtime > _DAY):
                    files.append((entry.stat().st_mtime, entry.stat().st_size, entry.path))
    total = sum(size for _, size, _ in files)
    goal = total if total <= most else most * 3 // 4
    for _, size, path in sorted(files):
        if total <= goal:
            break
        with contextlib.suppress(OSError):
            os.remove(path)
        total -= size


@functools.cache
def _prune_once():
    """When a process writes its first file, but not more than once an hour on this machine: there may be many files to look at."""
    stamp = os.path.join(cache_folder(), "pruned")
    with contextlib.suppress(OSError):
        if not os.path.exists(stamp) or time.time() - os.stat(stamp).st_mtime > _DAY / 24:
            with open(stamp, "w"):
                os.utime(stamp)
            prune(cache_folder())


def _keep(path, content):
    """Write whole or not at all: other processes may be reading."""
    try:
        handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path))
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except OSError:
        pass  # a cache that can't be written costs time, nothing else


def _module(emit, options, name):
    module = ir.Module(name)
    emitter = Emitter(module, name, target().lanes, target().registers)
    emit(emitter, **options)
    emitter.finish()
    emitter.function.attributes.add("nounwind")
    parsed = llvm.parse_assembly(str(module))
    parsed.verify()
    tuning = llvm.create_pipeline_tuning_options(speed_level=2)
    tuning.loop_vectorization = tuning.slp_vectorization = tuning.loop_unrolling = False  # kernels say what they want
    builder = llvm.create_pass_builder(target().machine, tuning)
    builder.getModulePassManager().run(parsed, builder)
    return parsed


def _object_code(emit, options, name):
    return target().machine.emit_object(_module(emit, options, name))


def assembly(emit, **options):
    """The machine code of a kernel as text, to look at."""
    return target().machine.emit_assembly(_module(emit, options, "kernel"))
