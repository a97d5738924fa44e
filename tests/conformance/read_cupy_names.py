"""Reads ``cupy_names.txt`` off the CuPy that is installed (no GPU is needed): python tests/conformance/read_cupy_names.py"""

import inspect
import pathlib


def kind(x):
    """``type``, ``value``, ``ufunc`` with its loops, or ``function`` with its parameters."""
    if isinstance(x, type):
        return "type"
    if type(x).__name__ == "ufunc":
        return "ufunc " + " ".join(dict.fromkeys(x.types))
    if not callable(x):
        return "value"
    try:
        parameters = inspect.signature(x).parameters.values()
    except (TypeError, ValueError):
        return "function *"
    stars = {inspect.Parameter.VAR_KEYWORD: "**", inspect.Parameter.VAR_POSITIONAL: "*"}
    return "function " + " ".join(stars.get(p.kind, "") + p.name for p in parameters)


def main():
    import cupy
    import numpy

    lines = [f"# Public names of CuPy {cupy.__version__} that NumPy has too, with their parameters: what strict.py lets kernels use"]
    for path in ("", ".linalg", ".fft", ".lib.stride_tricks"):
        ours, theirs = cupy, numpy
        for name in path.split(".")[1:]:
            ours, theirs = getattr(ours, name), getattr(theirs, name)
        lines.append(f"[cupy{path}]")
        names = [n for n in sorted(dir(ours)) if not n.startswith("_") and hasattr(theirs, n) and not inspect.ismodule(getattr(ours, n))]
        lines += [f"{n} {kind(getattr(ours, n))}".rstrip() for n in names]
    for title, of in (("ndarray", cupy.ndarray), ("flags", cupy._core.flags.Flags)):
        lines += [f"[{title}]", *[n for n in dir(of) if not n.startswith("_")]]
    (pathlib.Path(__file__).parent / "cupy_names.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
