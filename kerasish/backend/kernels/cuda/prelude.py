"""What every kernel's source begins with: numbers in memory and in registers, and how threads combine what they have.

No header is included, so that NVRTC compiles in some tens of milliseconds and finds nothing missing. float16 and bfloat16 are
``half_t`` and ``brain_t`` in memory, and float in registers.
"""

MEMORY = {"float32": "float", "float64": "double", "int32": "int", "int64": "i64", "uint8": "u8", "uint32": "u32", "bool": "bool",
          "float16": "half_t", "bfloat16": "brain_t"}  # fmt: skip
REGISTER = {**MEMORY, "float16": "float", "bfloat16": "float"}
WORD = {1: "u8", 2: "u16", 4: "u32", 8: "u64"}
WARP = 32

PRELUDE = r"""
typedef long long i64;
typedef unsigned long long u64;
typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned char u8;
#ifndef SHARED  // the dynamic shared memory of a block, as an array
#define SHARED(type, name) extern __shared__ __align__(16) unsigned char dynamic_shared[]; type *const name = (type *)dynamic_shared
#endif
struct half_t { u16 bits; };
struct brain_t { u16 bits; };

__device__ inline float infinity() { return __int_as_float(0x7f800000); }
__device__ inline float half_value(u16 bits) {
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(bits));
    return y;
}
__device__ inline u16 half_bits(float x) {
    u16 y;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y) : "f"(x));
    return y;
}
__device__ inline float brain_value(u16 bits) { return __int_as_float((int)((u32)bits << 16)); }
__device__ inline u16 brain_bits(float x) {  // to nearest, ties to even; NaN stays NaN
    u32 u = (u32)__float_as_int(x);
    if (x != x) return (u16)(u >> 16 | 0x40);
    return (u16)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}
__device__ inline float as_half(float x) { return half_value(half_bits(x)); }
__device__ inline float as_brain(float x) { return brain_value(brain_bits(x)); }

// memory to register, and back
template <class T> __device__ inline T get(T x) { return x; }
__device__ inline float get(half_t x) { return half_value(x.bits); }
__device__ inline float get(brain_t x) { return brain_value(x.bits); }
template <class T, class V> __device__ inline void put(T *p, V x) { *p = (T)x; }
__device__ inline void put(half_t *p, float x) { p->bits = half_bits(x); }
__device__ inline void put(brain_t *p, float x) { p->bits = brain_bits(x); }

// NaN wins
template <class T> __device__ inline T larger(T a, T b) { return a > b || a != a ? a : b; }
template <class T> __device__ inline T smaller(T a, T b) { return a < b || a != a ? a : b; }

// remainders and quotients rounded down; of integers 0 where the divisor is 0
template <class T> __device__ inline T remainder_of(T a, T b) {
    return b == 0 || ((T)-1 < 0 && b == (T)-1) ? 0 : a % b;
}
__device__ inline float remainder_of(float a, float b) { return fmodf(a, b); }
__device__ inline double remainder_of(double a, double b) { return fmod(a, b); }
template <class T> __device__ inline bool turned(T r, T b) { return r != 0 && (r < 0) != (b < 0); }
template <class T> __device__ inline T modulo(T a, T b) {
    T r = remainder_of(a, b);
    return turned(r, b) ? r + b : r;
}
__device__ inline float modulo(float a, float b) {
    float r = remainder_of(a, b);
    return r == 0 ? copysignf(0.0f, b) : turned(r, b) ? r + b : r;
}
__device__ inline double modulo(double a, double b) {
    double r = remainder_of(a, b);
    return r == 0 ? copysign(0.0, b) : turned(r, b) ? r + b : r;
}
template <class T> __device__ inline T floor_quotient(T a, T b) {
    if (b == 0) return 0;
    if (b == (T)-1) return (T)-1 < 0 ? 0 - a : (T)(a == b);
    return a / b - (turned(remainder_of(a, b), b) ? 1 : 0);
}
template <class T> __device__ inline T floor_quotient_of_floats(T a, T b) {
    T r = remainder_of(a, b), q = (a - r) / b - (turned(r, b) ? 1 : 0), whole = floor(q);
    if (b == 0) return a / b;
    return q == 0 ? copysign((T)0, a / b) : q - whole > (T)0.5 ? whole + 1 : whole;
}
__device__ inline float floor_quotient(float a, float b) { return floor_quotient_of_floats(a, b); }
__device__ inline double floor_quotient(double a, double b) { return floor_quotient_of_floats(a, b); }

struct Sum {
    template <class T> static __device__ T start(T) { return 0; }
    template <class T> static __device__ T combine(T a, T b) { return a + b; }
};
struct Product {
    template <class T> static __device__ T start(T) { return 1; }
    template <class T> static __device__ T combine(T a, T b) { return a * b; }
};
struct Any {
    template <class T> static __device__ T start(T) { return 0; }
    template <class T> static __device__ T combine(T a, T b) { return a || b; }
};
struct All {
    template <class T> static __device__ T start(T) { return 1; }
    template <class T> static __device__ T combine(T a, T b) { return a && b; }
};
__device__ inline float lowest(float) { return -infinity(); }
__device__ inline double lowest(double) { return -infinity(); }
__device__ inline int lowest(int) { return 1 << 31; }
__device__ inline i64 lowest(i64) { return (i64)1 << 63; }
__device__ inline u32 lowest(u32) { return 0; }
__device__ inline u8 lowest(u8) { return 0; }
__device__ inline bool lowest(bool) { return false; }
__device__ inline float highest(float) { return infinity(); }
__device__ inline double highest(double) { return infinity(); }
__device__ inline int highest(int) { return 0x7fffffff; }
__device__ inline i64 highest(i64) { return 0x7fffffffffffffffLL; }
__device__ inline u32 highest(u32) { return 0xffffffffu; }
__device__ inline u8 highest(u8) { return 255; }
__device__ inline bool highest(bool) { return true; }
struct Max {
    template <class T> static __device__ T start(T x) { return lowest(x); }
    template <class T> static __device__ T combine(T a, T b) { return larger(a, b); }
};
struct Min {
    template <class T> static __device__ T start(T x) { return highest(x); }
    template <class T> static __device__ T combine(T a, T b) { return smaller(a, b); }
};

// one thread's number for the neighbour whose lane differs in these bits
template <class T> __device__ inline T neighbour(T x, int bits) { return __shfl_xor_sync(0xffffffffu, x, bits); }
__device__ inline u8 neighbour(u8 x, int bits) { return (u8)__shfl_xor_sync(0xffffffffu, (int)x, bits); }
__device__ inline bool neighbour(bool x, int bits) { return (bool)__shfl_xor_sync(0xffffffffu, (int)x, bits); }

// What N threads in a row have, combined, for all of them. Every thread of the block must come here; N is a power of two.
template <class O, int N, int BLOCK, class T> __device__ inline T across(T x) {
    #pragma unroll
    for (int bits = (N < 32 ? N : 32) / 2; bits; bits /= 2) x = O::combine(x, neighbour(x, bits));
    if (N > 32) {
        __shared__ T parts[BLOCK / 32 + 1];
        int thread = threadIdx.x, first = thread / N * (N / 32);
        __syncthreads();
        if (thread % 32 == 0) parts[thread / 32] = x;
        __syncthreads();
        x = parts[first];
        for (int i = 1; i < N / 32; ++i) x = O::combine(x, parts[first + i]);
    }
    return x;
}

// What threads that are STEP apart have, combined in order, for the first STEP of them.
template <class O, int STEP, int BLOCK, class T> __device__ inline T down(T x) {
    if (BLOCK > STEP) {
        __shared__ T parts[BLOCK];
        __syncthreads();
        parts[threadIdx.x] = x;
        __syncthreads();
        for (int n = BLOCK / STEP / 2; n; n /= 2) {
            if (threadIdx.x < n * STEP) parts[threadIdx.x] = O::combine(parts[threadIdx.x], parts[threadIdx.x + n * STEP]);
            __syncthreads();
        }
        x = parts[threadIdx.x % STEP];
    }
    return x;
}

// where the first extreme element of a row is: the first NaN where there is one
template <class T> struct Best { T value; int place; };
struct ArgMax { template <class T> static __device__ bool beats(T a, T b) { return a > b || (a != a && b == b); } };
struct ArgMin { template <class T> static __device__ bool beats(T a, T b) { return a < b || (a != a && b == b); } };
template <class O, class T> __device__ inline Best<T> better(Best<T> a, Best<T> b) {
    bool same = !O::beats(a.value, b.value) && !O::beats(b.value, a.value);
    return O::beats(a.value, b.value) || (same && a.place < b.place) ? a : b;
}
template <class O, int N, int BLOCK, class T> __device__ inline int best_across(Best<T> x) {
    #pragma unroll
    for (int bits = (N < 32 ? N : 32) / 2; bits; bits /= 2) {
        Best<T> other = {neighbour(x.value, bits), neighbour(x.place, bits)};
        x = better<O>(x, other);
    }
    if (N > 32) {
        __shared__ T values[BLOCK / 32 + 1];
        __shared__ int places[BLOCK / 32 + 1];
        int thread = threadIdx.x, first = thread / N * (N / 32);
        __syncthreads();
        if (thread % 32 == 0) { values[thread / 32] = x.value; places[thread / 32] = x.place; }
        __syncthreads();
        x.value = values[first]; x.place = places[first];
        for (int i = 1; i < N / 32; ++i) {
            Best<T> other = {values[first + i], places[first + i]};
            x = better<O>(x, other);
        }
    }
    return x.place;
}
"""


def number(value, dtype):
    """A constant in C, exact to the last bit."""
    if "float" not in dtype:
        if dtype == "int64":
            return f"((i64){int(value) % (1 << 64)}ULL)"
        return f"(({REGISTER[dtype]}){int(value)}{'LL' if abs(int(value)) > 1 << 30 else ''})"
    value, t = float(value), "double" if dtype == "float64" else "float"
    if value != value:
        return f"(({t})__int_as_float(0x7fc00000))"
    if value in (float("inf"), float("-inf")):
        return f"(({t}){'-' if value < 0 else ''}infinity())"
    return f"(({t}){value.hex()})"


def rounded(code, dtype):
    """A result as a number of its dtype: halves are rounded after every step, as the ops' own kernels do."""
    if dtype == "float16":
        return f"as_half({code})"
    if dtype == "bfloat16":
        return f"as_brain({code})"
    return f"({REGISTER[dtype]})({code})"
