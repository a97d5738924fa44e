"""Runs CUDA C on the processor, for tests: a source as it is, compiled by g++ after a shim that has what CUDA C has and C++ has not.

The threads of a block are fibers that take turns at every barrier, so shared memory, shuffles and barriers do what they do on a
device; a barrier that some threads of a block miss is an error. A warp goes on alone until it waits for its block, and turns come in
ever other orders, so that results hang on a barrier that is missing.
"""

import ctypes
import functools
import hashlib
import pathlib
import re
import shutil
import subprocess
import tempfile

import numpy as np

from kerasish.backend.kernels.candidates import Buffer, Scratch
from kerasish.backend.kernels.cuda import copy, cublaslt  # noqa: F401  (requests can copy)
from kerasish.backend.kernels.cuda.launch import LibraryCall, Request
from kerasish.backend.kernels.cuda.prelude import PRELUDE
from tests.backend.kernels import cuda_libraries

SHIM = r"""
#include <cmath>
#include <cstring>
#include <ucontext.h>
#include <vector>
#define __global__
#define __device__
#define __shared__ static
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __restrict__
#define __align__(n) alignas(n)
struct Three { unsigned x, y, z; };
static Three blockIdx, blockDim, gridDim, threadIdx;
namespace host {
static ucontext_t main_context;
static std::vector<ucontext_t> fibers;
static std::vector<char> stacks;
static std::vector<bool> ended;
static std::vector<char> waits;  // for its warp, or for its block
static unsigned long long exchanged[1024];
static unsigned thread, rounds;
static void (*body)();
static const size_t STACK = 1 << 16;
static void run() { body(); ended[thread] = true; swapcontext(&fibers[thread], &main_context); }
static void wait(char whom) { waits[thread] = whom; swapcontext(&fibers[thread], &main_context); }
static void barrier() { wait('w'); }
static unsigned place(unsigned i, unsigned n) {  // who has the i-th turn: forwards, backwards, beginning anywhere
    unsigned from = rounds * 2654435761u >> 16;
    return rounds & 1 ? (from + i) % n : n - 1 - (from + i) % n;
}
static int warp(unsigned first, unsigned n) {  // until all of its threads wait for the block, or are at their ends
    for (;;) {
        unsigned over = 0, here = 0;
        ++rounds;
        for (unsigned i = 0; i < n; ++i) {
            thread = first + place(i, n);
            threadIdx.x = thread;
            if (!ended[thread]) swapcontext(&main_context, &fibers[thread]);
            over += ended[thread];
            here += !ended[thread] && waits[thread] == 'w';
        }
        if (!here) return 0;
        if (here < n) return 1;  // some wait for others of their warp that are elsewhere
    }
}
static int block(unsigned n, void (*f)()) {
    body = f; rounds = 0;
    fibers.resize(n); stacks.resize(n * STACK); ended.assign(n, false); waits.assign(n, 0);
    for (unsigned i = 0; i < n; ++i) {
        getcontext(&fibers[i]);
        fibers[i].uc_stack.ss_sp = &stacks[i * STACK]; fibers[i].uc_stack.ss_size = STACK; fibers[i].uc_link = 0;
        makecontext(&fibers[i], run, 0);
    }
    const unsigned warps = (n + 31) / 32;
    for (;;) {
        unsigned over = 0;
        ++rounds;
        for (unsigned i = 0, turn = rounds; i < warps; ++i) {
            rounds = turn;
            const unsigned w = place(i, warps);
            rounds = turn + i;
            if (warp(w * 32, n - w * 32 < 32 ? n - w * 32 : 32)) return 1;
            rounds = turn;
        }
        for (unsigned i = 0; i < n; ++i) over += ended[i];
        if (over == n) return 0;
        if (over) return 1;  // some wait at a barrier that others never reach
    }
}
}
static void __syncthreads() { host::wait('b'); }
alignas(16) static char dynamic_shared[256 << 10];
#define SHARED(type, name) type *const name = (type *)dynamic_shared
template <class T> static T __shfl_xor_sync(unsigned, T x, int bits) {
    unsigned long long word = 0;
    memcpy(&word, &x, sizeof(T));
    unsigned me = host::thread;
    host::exchanged[me] = word;
    host::barrier();
    memcpy(&x, &host::exchanged[me ^ bits], sizeof(T));
    host::barrier();
    return x;
}
static unsigned __ballot_sync(unsigned, bool x) {
    unsigned me = host::thread, all = 0;
    host::exchanged[me] = x;
    host::barrier();
    for (unsigned i = 0; i < 32; ++i) all |= (unsigned)host::exchanged[me / 32 * 32 + i] << i;
    host::barrier();
    return all;
}
namespace host {
static unsigned tf32(float x) {  // to 10 bits of mantissa, ties away from 0
    unsigned u;
    memcpy(&u, &x, 4);
    return x != x ? 0x7fffe000u : (u + 0x1000u) & ~0x1fffu;
}
static float fragments[2][1024][6];
static void multiply(float *c, const unsigned *a, const unsigned *b) {  // 16 x 8 times 8 x 8 by a warp
    static unsigned turns[1024];
    unsigned me = thread, first = me / 32 * 32, row = me % 32 / 4, column = me % 4 * 2;
    float (*all)[6] = fragments[turns[me]++ % 2] + first;  // who comes again has not met all others: two sets, one barrier
    for (int i = 0; i < 6; ++i) memcpy(&all[me - first][i], i < 4 ? a + i : b + i - 4, 4);
    barrier();
    for (int i = 0; i < 4; ++i)
        for (unsigned k = 0; k < 8; ++k) c[i] += all[row * 4 + k % 4][i / 2 + k / 4 * 2] * all[(column + i % 2) * 4 + k % 4][4 + k / 4];
}
}
static void __syncwarp(unsigned = ~0u) { host::barrier(); }
static int __popc(unsigned x) { return __builtin_popcount(x); }
static int __ffs(unsigned x) { return __builtin_ffs((int)x); }
static float __int_as_float(int x) { float y; memcpy(&y, &x, 4); return y; }
static int __float_as_int(float x) { int y; memcpy(&y, &x, 4); return y; }
static double __longlong_as_double(long long x) { double y; memcpy(&y, &x, 8); return y; }
static long long __double_as_longlong(double x) { long long y; memcpy(&y, &x, 8); return y; }
static unsigned long long __umul64hi(unsigned long long a, unsigned long long b) { return (unsigned __int128)a * b >> 64; }
static float __fmul_rn(float a, float b) { volatile float y = a * b; return y; }
static float __fadd_rn(float a, float b) { volatile float y = a + b; return y; }
static double __dmul_rn(double a, double b) { volatile double y = a * b; return y; }
static double __dadd_rn(double a, double b) { volatile double y = a + b; return y; }
static double cyl_bessel_i0(double x) { return x != x ? x : std::isinf(x) ? INFINITY : std::cyl_bessel_i(0.0, std::fabs(x)); }
static float cyl_bessel_i0f(float x) { return (float)cyl_bessel_i0((double)x); }
static double erfinv(double y) {
    if (!(y > -1 && y < 1)) return y == 1 ? INFINITY : y == -1 ? -INFINITY : NAN;
    double low = -7, high = 7;
    for (int i = 0; i < 200; ++i) { double x = (low + high) / 2; (std::erf(x) < y ? low : high) = x; }
    return (low + high) / 2;
}
static float erfinvf(float x) { return (float)erfinv((double)x); }
template <class T> static T atomicAdd(T *p, T x) { T y = *p; *p = y + x; return y; }
"""
_ASM = [(r'asm\("cvt.f32.f16 .*', "_Float16 h; memcpy(&h, &bits, 2); y = (float)h;"),
        (r'asm\("cvt.rn.f16.f32 .*', "_Float16 h = (_Float16)x; memcpy(&y, &h, 2);"),
        (r'asm\("cvt.rna.tf32.f32 .*', "y = host::tf32(x);"),
        (r'asm\("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 .*', "host::multiply(c, x, y);")]  # fmt: skip
_TOGETHER = 40  # sources
_FOLDER = pathlib.Path(tempfile.gettempdir()) / "kerasish-cuda-host"


def available():
    """Whether there is a compiler."""
    return shutil.which("g++") is not None


_functions: dict = {}


def _without_prelude(source):
    assert source.startswith(PRELUDE)
    return source[len(PRELUDE) :]


def _on_host(text):
    """A text with its instructions for a device replaced."""
    for pattern, replacement in _ASM:
        text = re.sub(pattern, replacement, text)
    return text


def _wrapped(i, source):
    """A source among others: in a namespace of its own, with a function that is given all arguments as integers."""
    text = _on_host(_without_prelude(source))
    [parameters] = re.findall(r'extern "C" __global__ void .*?kernel\((.*)\) \{', text)
    types = [re.sub(r"\bconst\b|\b__restrict__\b|\w+$", "", p.strip()).strip() for p in parameters.split(", ")]
    given = ", ".join(f"({t})given[{j}]" for j, t in enumerate(types))
    text = text.replace('extern "C" __global__', "static")
    return f"namespace k{i} {{\n{text}\nstatic void call() {{ kernel({given}); }}\n}}\n"


def prepare(sources):
    """Compile several sources at once: most of the time goes into what all of them need."""
    sources = sorted({source for source in sources if source not in _functions})
    for start in range(0, len(sources), _TOGETHER):
        _compile(sources[start : start + _TOGETHER])


def _compile(sources):
    prelude = _on_host(PRELUDE)
    calls = ", ".join(f"k{i}::call" for i in range(len(sources)))
    text = f"""{SHIM}
static long long *given;
{prelude}
{"".join(_wrapped(i, source) for i, source in enumerate(sources))}
static void (*calls[])() = {{{calls}}};
extern "C" int run(int kernel, long long *args, unsigned blocks, unsigned threads) {{
    given = args; blockDim = {{threads, 1, 1}}; gridDim = {{blocks, 1, 1}};
    for (unsigned b = 0; b < blocks; ++b) {{ blockIdx = {{b, 0, 0}}; if (host::block(threads, calls[kernel])) return 1; }}
    return 0;
}}"""
    _FOLDER.mkdir(exist_ok=True)
    path = _FOLDER / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.so"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=_FOLDER) as folder:
            (file := pathlib.Path(folder) / "kernel.cpp").write_text(text)
            made = pathlib.Path(folder) / "kernel.so"
            how = ["g++", "-std=c++17", "-O1", "-w", "-fwrapv", "-ffp-contract=off", "-shared", "-fPIC", "-o", made, file]
            done = subprocess.run(how, capture_output=True, text=True, check=False)
            assert not done.returncode, done.stderr[:3000]
            made.replace(path)
    library = ctypes.CDLL(str(path))
    for i, source in enumerate(sources):
        _functions[source] = functools.partial(library.run, i)


LIBRARIES: dict = {cublaslt.Product: cuda_libraries.product}  # what stands for a library in tests: type of routine -> function(routine, addresses)


def prepared(routine):
    """What stands for ``Routine.prepare``."""
    return 64 if type(routine) in LIBRARIES else None


Request.prepare = staticmethod(prepared)


def run(launches):
    """Run launches whose buffers lie in NumPy arrays."""
    memory = {}

    def address(x):
        if not isinstance(x, Buffer):
            return int(x)
        base = x.base
        if isinstance(base, Scratch):
            base = memory.setdefault(id(base), np.full(base.nbytes + 64, 0xFF, np.uint8))
            return -(-base.ctypes.data // 64) * 64 + x.offset * x.itemsize
        return base.ctypes.data + x.offset * x.itemsize

    launch([(one, [address(x) for x in one.args]) for one in launches])


def launch(launches):
    """Run launches with addresses as arguments."""
    prepare([one.source for one, _ in launches if not isinstance(one, LibraryCall)])
    for one, given in launches:
        if isinstance(one, LibraryCall):
            LIBRARIES[type(one.routine)](one.routine, list(given))
            continue
        args = (ctypes.c_longlong * len(given))(*given)
        assert _functions[one.source](args, one.blocks, one.threads) == 0, f"a barrier that some threads miss\n{one.source}"


def buffer(array):
    """An array as a buffer."""
    return Buffer(array, array.shape, array.dtype.name, [s // array.itemsize for s in array.strides])
