"""Threads that share the tasks of compiled kernels, and programs: lists of kernels that run without Python between them.

A program is an array of 64-bit integers, four for each instruction: the kernel's address, the address of its arguments, its
number of tasks, and a spare one. ``Pool.run`` goes through it in order; the tasks of one instruction are shared between the
threads. A *ticket* (number of the instruction and tasks left, in one integer) is taken by compare-and-swap, so a
thread that comes late finds nothing to do and one that never comes is not missed.

Workers look at the ticket for a while after a program has ended, then sleep on a Python lock, which works everywhere.
"""

import contextlib
import ctypes
import os
import platform
import threading

import numpy
from llvmlite import ir

from kerasish.backend.kernels.compile import compiled
from kerasish.backend.kernels.emit import Value, i32, i64, pointer

TICKET, DONE, KERNEL, ARGS, RUNNING, STOP = 0, 8, 16, 17, 24, 32  # places in the shared array: those that threads fight for, apart
_SPINS = 20_000  # looks at the ticket before a worker goes to sleep: some 0.2 ms
_PATIENCE = 256  # turns of waiting, some 10 us, between two times of giving way
_YIELD = ctypes.cast(ctypes.CDLL("kernel32").SwitchToThread if os.name == "nt" else ctypes.CDLL(None).sched_yield, ctypes.c_void_p).value
_KERNEL = ir.FunctionType(ir.VoidType(), [pointer, i64, i64])


def _atomic_load(k, p, offset):
    return Value(k, k.builder.load_atomic((p + offset).ir, "acquire", 8, typ=i64))


def _atomic_store(k, p, offset, value):
    k.builder.atomic_rmw("xchg", (p + offset).ir, value.ir, "release")


def _pause(k):
    if platform.machine().lower() in ("x86_64", "amd64"):
        k.builder.call(k.external("llvm.x86.sse2.pause", ir.VoidType(), []), [])


def _take_tasks(k, shared, thread):
    """Take tasks of the instruction that is going on until none is left."""
    more = k.var(k.const(1))
    with _while(k, lambda: more.value.differs(0)):
        ticket = _atomic_load(k, shared, TICKET)
        left = ticket & 0xFFFFFFFF
        more.value = 0
        with k.when(left > 0):
            more.value = 1
            swapped = k.builder.cmpxchg((shared + TICKET).ir, ticket.ir, (ticket - 1).ir, "acq_rel", "acquire")
            with k.when(Value(k, k.builder.extract_value(swapped, 1))):
                _call(k, shared[KERNEL], shared[ARGS], left - 1, thread)
                k.builder.atomic_rmw("add", (shared + DONE).ir, i64(1), "acq_rel")


def _call(k, kernel, args, task, thread):
    f = k.builder.inttoptr(kernel.ir, _KERNEL.as_pointer())
    k.builder.call(f, [k.builder.inttoptr(args.ir, pointer), task.ir, thread.ir])


@contextlib.contextmanager
def _while(k, condition):
    head, body, end = (k.function.append_basic_block(n) for n in ("head", "while", "end"))
    k.builder.branch(head)
    k.builder.position_at_end(head)
    k.builder.cbranch(condition().ir, body, end)
    k.builder.position_at_end(body)
    yield
    k.builder.branch(head)
    k.builder.position_at_end(end)


def _give_way(k, turns, address):
    """After so many turns of waiting let others have the processor: the thread that is waited for may be one of them."""
    with k.when((turns & (_PATIENCE - 1)).equals(0)):
        k.call(address, i32, [], [])


def _worker(k):
    """Arguments: the shared array, how often to look before giving up, what gives way. Returns to sleep, or at the end."""
    shared, looks, give_way = k.integers(0), k.arg(1, i64), k.arg(2, i64)
    idle, turns = k.var(k.const(0)), k.var(k.const(0))
    with _while(k, lambda: idle.value < looks):
        idle.value = idle.value + 1
        with k.when((_atomic_load(k, shared, TICKET) & 0xFFFFFFFF) > 0):
            _take_tasks(k, shared, k.thread)
            idle.value = 0
        with k.when(_atomic_load(k, shared, RUNNING) > 0):
            idle.value = 0
        with k.when(_atomic_load(k, shared, STOP) > 0):
            idle.value = looks
        turns.value = turns.value + 1
        _give_way(k, turns.value, give_way)
        _pause(k)


def _run(k):
    """Arguments: the program, its number of instructions, the shared array (0: this thread does everything), what gives way."""
    program, count, shared, give_way = k.integers(0), k.arg(1, i64), k.integers(2), k.arg(3, i64)
    alone = k.arg(2, i64).equals(0)
    with k.range(count) as i:
        kernel, args, tasks = (program[i * 4 + j] for j in range(3))
        serial = alone | tasks.equals(1)
        with k.when(serial), k.range(tasks) as task:
            _call(k, kernel, args, task, k.const(0))
        with k.unless(serial):
            shared[KERNEL], shared[ARGS] = kernel, args
            _atomic_store(k, shared, DONE, k.const(0))
            _atomic_store(k, shared, TICKET, ((i + 1) << 32) | tasks)
            _take_tasks(k, shared, k.const(0))
            turns = k.var(k.const(0))
            with _while(k, lambda: _atomic_load(k, shared, DONE) < tasks):
                turns.value = turns.value + 1
                _give_way(k, turns.value, give_way)
                _pause(k)


_SIGNATURE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)


class Pool:
    """``size - 1`` threads beside the one that runs a program."""

    def __init__(self, size=None):
        self.size = size or _available()
        memory = numpy.zeros(64 + 8, numpy.int64)
        self._shared = memory[(-memory.ctypes.data % 64) // 8 :][:64]
        self._run, self._work = _SIGNATURE(compiled(_run)), _SIGNATURE(compiled(_worker))
        self._busy, self._sleepers, self._threads = threading.Lock(), [], []

    def run(self, program, count):
        """Run ``count`` instructions at the address ``program``; where another thread has the pool, without its help."""
        if self.size > 1 and count and self._busy.acquire(blocking=False):
            try:
                self._wake()
                args = (ctypes.c_int64 * 4)(program, count, self._shared.ctypes.data, _YIELD)
                self._run(ctypes.addressof(args), 0, 0)
            finally:
                self._shared[RUNNING] = 0
                self._busy.release()
        else:
            args = (ctypes.c_int64 * 4)(program, count, 0, 0)
            self._run(ctypes.addressof(args), 0, 0)

    def _wake(self):
        if not self._threads:
            self._start()
        self._shared[RUNNING] = 1
        while self._sleepers:
            try:
                self._sleepers.pop().release()
            except IndexError:  # the last one has woken by itself
                break

    def _start(self):
        for number in range(1, self.size):
            thread = threading.Thread(target=_serve, args=(self, number), name=f"kernels-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()


def _serve(pool, number):
    """A worker's life: look for tasks, sleep where there are none for a while."""
    bell = threading.Lock()
    bell.acquire()
    args = (ctypes.c_int64 * 3)(pool._shared.ctypes.data, _SPINS, _YIELD)
    while not pool._shared[STOP]:
        pool._work(ctypes.addressof(args), 0, number)
        pool._sleepers.append(bell)
        if pool._shared[RUNNING] and _taken_back(pool, bell):  # a program began meanwhile, and did not see this one asleep
            continue
        bell.acquire()


def _taken_back(pool, bell):
    try:
        pool._sleepers.remove(bell)
    except ValueError:
        return False  # somebody has it and will ring
    return True


def _available():
    """How many threads: ``$KERASISH_THREADS``, else the processors that this process may use."""
    wanted = os.environ.get("KERASISH_THREADS")
    if wanted:
        return max(1, int(wanted))
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_pool, _size, _making = None, None, threading.Lock()


def pool():
    """The process's threads; a forked process makes its own, as many, since plans have scratch memory for so many."""
    global _pool, _size
    if _pool is None:
        with _making:
            if _pool is None:
                _pool = Pool(_size)
                _size = _pool.size
    return _pool


def _after_fork():
    global _pool, _making
    _pool, _making = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def run(address, args, tasks=1):
    """Run one kernel at once, for tests and trials: ``args`` are arrays and integers."""
    block = numpy.array([a.ctypes.data if isinstance(a, numpy.ndarray) else int(a) for a in args], numpy.int64)
    program = numpy.array([address, block.ctypes.data, tasks, 0], numpy.int64)
    pool().run(program.ctypes.data, 1)
