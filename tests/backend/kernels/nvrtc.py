"""NVRTC through ctypes: CUDA C to PTX, on any machine that has the library (``pip install nvidia-cuda-nvrtc-cu12``)."""

import ctypes
import functools
import importlib.util
import pathlib

from kerasish.backend.kernels.cuda.prelude import PRELUDE

_TOGETHER = 100  # sources


@functools.cache
def library():
    """The library, None where it isn't installed."""
    try:
        spec = importlib.util.find_spec("nvidia.cuda_nvrtc") or importlib.util.find_spec("nvidia.cu13")
    except ModuleNotFoundError:
        return None
    folders = [] if spec is None else [pathlib.Path(place) / "lib" for place in spec.submodule_search_locations]
    found = [path for folder in folders for path in sorted(folder.glob("libnvrtc.so.*"))]
    return ctypes.CDLL(str(found[0])) if found else None


def compile_all(sources, options=("-std=c++17", "--gpu-architecture=compute_90")):
    """The PTX of sources, many at a time, each as a kernel of its own name. AssertionError with the compiler's words where one fails."""
    sources, made = sorted(set(sources)), []
    for start in range(0, len(sources), _TOGETHER):
        texts = []
        for i, source in enumerate(sources[start : start + _TOGETHER]):
            assert source.startswith(PRELUDE)
            texts.append(f"namespace k{i} {{\n{source[len(PRELUDE) :].replace(' kernel(', f' kernel{i}(')}\n}}\n")
        made.append(_compile(PRELUDE + "".join(texts), options))
        assert all(f".entry kernel{i}(" in made[-1] for i in range(len(texts)))
    return made


def _compile(text, options):
    nvrtc, program = library(), ctypes.c_void_p()
    given = (ctypes.c_char_p * len(options))(*[option.encode() for option in options])
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"kernels.cu", 0, None, None) == 0
    try:
        failed = nvrtc.nvrtcCompileProgram(program, len(options), given)
        log = _text(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog, program)
        assert not failed, log[:3000]
        return _text(nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX, program)
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def _text(size_of, get, program):
    size = ctypes.c_size_t()
    assert size_of(program, ctypes.byref(size)) == 0
    text = ctypes.create_string_buffer(size.value)
    assert get(program, text) == 0
    return text.value.decode()
