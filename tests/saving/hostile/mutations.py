"""Damage for valid files: bytes, JSON values, HDF5 objects, archives. All of it follows from a ``random.Random``."""

import copy
import io
import json
import random
import zipfile

import h5py
import numpy as np

_NUMBERS = (0, 1, -1, 2, 3, 255, 256, -2, 2**16, 10**6, 10**9, 2**31, 2**32 + 1, 2**63, 10**30, 0.0, -0.0, 0.5, -1.5, 1e308, float("nan"), float("inf"))
_OTHERS = (
    None, True, False, "", "5", "relu", "../../etc/passwd", "/etc/passwd", "http://localhost:1/x", "A" * 5000, [], {}, [[]], [None], [None, None],
    [0], [-1], [1] * 50, [10**9, 10**9], [None, 10**12], {"a": 1}, [[[[[[1]]]]]], {"class_name": "Dense", "config": {"units": 3}},
    {"module": "keras.layers", "class_name": "Dense", "config": {"units": 10**9}, "registered_name": None},
    {"module": "builtins", "class_name": "function", "config": "relu", "registered_name": "function"},
    {"module": "builtins", "class_name": "function", "config": "eval", "registered_name": "function"},
    {"module": "os", "class_name": "system", "config": {"command": "true"}, "registered_name": None},
    {"class_name": "__lambda__", "config": {"value": ["4wAAAAA=", None, None]}}, {"class_name": "__numpy__", "config": {"value": [1.0], "dtype": "float32"}},
    {"class_name": "__tensor__", "config": {"value": [1.0], "dtype": "float32"}}, {"class_name": "__slice__", "config": {"start": 0, "stop": None, "step": 0}},
    {"class_name": "__keras_tensor__", "config": {"shape": [None, 3], "dtype": "float32", "keras_history": ["x", 0, 0]}},
    {"class_name": "__bytes__", "config": {"value": "/etc/passwd"}}, {"class_name": "__ellipsis__", "config": {}},
)  # fmt: skip
_WORDS = ("os", "eval", "keras.utils", "get_file", "keras.saving", "load_model", "keras.layers", "Lambda", "Dense", "Sequential", "Functional", "float99",
          "int32", "string", "float16", "keras.src.ops.numpy", "keras.losses", "mse", "keras.metrics", "MeanIoU", "a/b", "..", "\0", "é\U0001f600")  # fmt: skip


# ---- bytes
def damaged(data, rng, other=b""):
    """Bytes with one to three kinds of damage."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        at = _place(data, rng)
        kind = rng.randrange(8)
        if kind <= 1:
            for _ in range(rng.choice((1, 1, 2, 8))):
                at = _place(data, rng)
                data[at : at + 1] = bytes([(data[at] if at < len(data) else 0) ^ (1 << rng.randrange(8))])
        elif kind == 2:
            data[at : at + 1] = bytes([rng.randrange(256)])
        elif kind == 3:
            size = rng.choice((1, 2, 4, 8))
            value = rng.choice((0, 1, 2**7, 2**8 - 1, 2**15, 2**31 - 1, 2**32 - 1, 2**63, 2**64 - 1, len(data), at, rng.randrange(max(len(data), 1))))
            data[at : at + size] = (value % 256**size).to_bytes(size, "little")
        elif kind == 4:
            del data[at:]
        elif kind == 5:
            del data[at : at + rng.choice((1, 4, 16, 100, 1000))]
        elif kind == 6:
            data[at:at] = rng.randbytes(rng.choice((1, 4, 16, 100)))
        else:
            source = other if other and rng.random() < 0.5 else bytes(data)
            start, size = rng.randrange(max(len(source), 1)), rng.choice((4, 8, 16, 64, 512))
            data[at : at + size] = source[start : start + size]
    return bytes(data)


def _place(data, rng):
    """Anywhere, or near one of HDF5's or zip's marks: most bytes of a file are weights and padding."""
    if rng.random() < 0.6:
        mark = rng.choice((b"TREE", b"SNOD", b"HEAP", b"GCOL", b"OHDR", b"FRHP", b"\x89HDF", b"PK\x01\x02", b"PK\x05\x06", b"PK\x03\x04", b"\x01\0\x0b\0",
                           b"\x0c\0", b"\x11\0", b"\x03\0", b"\x08\0"))  # fmt: skip
        places, start = [], 0
        while (found := data.find(mark, start)) >= 0 and len(places) < 100:
            places.append(found)
            start = found + 1
        if places:
            return min(rng.choice(places) + rng.randrange(96), max(len(data) - 1, 0))
    return rng.randrange(max(len(data), 1))


# ---- JSON
def changed(config, rng):
    """A config with one to three changed values."""
    config = copy.deepcopy(config)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = list(_places(config))
        if not places:
            break
        holder, key = rng.choice(places)
        kind = rng.randrange(8)
        if kind == 0:
            holder[key] = rng.choice(_NUMBERS)
        elif kind == 1:
            holder[key] = copy.deepcopy(rng.choice(_OTHERS))
        elif kind == 2:
            other, there = rng.choice(places)
            holder[key] = copy.deepcopy(other[there])
        elif kind == 3:
            del holder[key]
        elif kind == 4 and isinstance(holder, list):
            holder.insert(key, copy.deepcopy(holder[key]))
        elif kind == 4:
            holder[rng.choice([k for _, k in places if isinstance(k, str)] or ["x"])] = copy.deepcopy(holder[key])
        elif kind == 5:
            holder[key] = [holder[key]] if rng.random() < 0.5 else {"value": holder[key]}
        elif kind == 6:
            strings = [h[k] for h, k in places if isinstance(h[k], str)] or ["x"]
            holder[key] = rng.choice(strings) if rng.random() < 0.5 else rng.choice(_WORDS)
        elif isinstance(holder[key], int):
            holder[key] += rng.choice((-1, 1, 10, 1000, 10**6))
        else:
            holder[key] = str(holder[key])
    return config


def _places(value):
    todo = [value]
    while todo:
        value = todo.pop()
        for key, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield value, key
            if isinstance(child, (dict, list)) and child:
                todo.append(child)


def changed_json(text, rng):
    """JSON text with other values, or text that is hardly JSON."""
    if rng.random() < 0.1:
        return damaged(text, rng)
    try:
        return json.dumps(changed(json.loads(text), rng)).encode()
    except (RecursionError, OverflowError):
        return b"[" * 1000


# ---- HDF5
def changed_h5(data, rng):
    """An HDF5 file whose objects, attributes or links are others."""
    buffer = io.BytesIO(data)
    with h5py.File(buffer, "r+") as file:
        names = []
        file.visit(names.append)
        for _ in range(rng.choice((1, 1, 2))):
            name = rng.choice(names)
            if name in file:
                _change_object(file, name, names, rng)
    return buffer.getvalue()


def _change_object(file, name, names, rng):
    item, kind = file[name], rng.randrange(12)
    if (kind <= 2 and item.attrs) or (file.attrs and kind == 0):
        item = file if file.attrs and kind == 0 else item
        key = rng.choice(list(item.attrs))
        value = item.attrs[key]
        if key.endswith("_config") and rng.random() < 0.8:
            item.attrs[key] = changed_json(value if isinstance(value, bytes) else value.encode(), rng)
        else:
            item.attrs[key] = rng.choice((0, 1.5, "x", b"\xff\xfe", np.arange(5), [b"a"] * 30, np.zeros((3, 3)), "é" * 300, h5py.Empty("f4")))
        return
    if kind == 3:
        item.attrs[rng.choice(("name", "dtype", "weight_names", "layer_names", "model_config"))] = rng.choice(("bfloat16", "x", 3, [b"x", b"y"]))
        return
    del file[name]
    if kind == 4:
        return
    if kind == 5:
        file[name] = h5py.SoftLink(rng.choice(("/" + rng.choice(names), "/nowhere", "/etc/passwd")))
    elif kind == 6:
        file[name] = h5py.ExternalLink("/etc/passwd", "/x")
    elif kind == 7:
        file.create_group(name)
    elif kind == 8:
        other = rng.choice(names)
        if other in file:
            file[name] = file[other]  # a hard link, perhaps to an ancestor
    elif kind == 9:
        file.create_dataset(name, shape=rng.choice(((), (0,), (3, 3), (10**6, 10**6), (1,) * 32)), dtype=rng.choice(("f4", "i8", "S5", "c8", "?")))
    elif kind == 10:
        file.create_dataset(name, data=rng.choice((np.float64(1), np.arange(4), np.ones((4, 3), "f2"), "text", np.array([b"x"]))))
    else:
        file.create_dataset(name, data=np.zeros((64, 64), "f4"), compression=rng.choice(("gzip", "lzf")), shuffle=rng.random() < 0.5)


# ---- archives
def changed_archive(data, rng, others):
    """A .keras file with one changed member, or with its members in disorder."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choices(list(members), [5 if n == "config.json" else 1 for n in members])[0]
    if name.endswith(".json"):
        members[name] = changed_json(members[name], rng)
    elif name.endswith(".h5"):
        members[name] = changed_h5(members[name], rng) if rng.random() < 0.5 else damaged(members[name], rng, others)
    else:
        members[name] = damaged(members[name], rng)
    if rng.random() < 0.05:
        members[rng.choice(("../x", "/x", "assets/../../x", "config.json\0", "a" * 300, "assets/x"))] = members.pop(rng.choice(list(members)))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def mutate(name, data, number, others=b""):
    """The ``number``-th damaged version of a file."""
    rng = random.Random(f"{name}:{number}")
    try:
        if name.endswith(".json"):
            return changed_json(data, rng)
        if rng.random() < 0.35 or not name.endswith((".h5", ".keras")):
            return damaged(data, rng, others)
        return changed_archive(data, rng, others) if name.endswith(".keras") else changed_h5(data, rng)
    except (ValueError, KeyError, OSError, RuntimeError, TypeError, AttributeError):  # the damage hinders more damage
        return damaged(data, rng, others)
