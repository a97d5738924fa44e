"""Configs, weights and training states as Keras 2 (tf.keras too) wrote them, made into those of today."""

import inspect

import numpy as np

from kerasish.saveable import get_registered_object, registry
from kerasish.saving import tf_ops

ANY = object()
# class -> its name today, and what the old one means beyond its config
_CLASSES = {
    "CuDNNLSTM": ("LSTM", {}),
    "CuDNNGRU": ("GRU", {"reset_after": True}),
    "ThresholdedReLU": ("ReLU", {}),
    "BatchNormalizationV1": ("BatchNormalization", {}),
    "BatchNormalizationV2": ("BatchNormalization", {}),
    "SyncBatchNormalization": ("BatchNormalization", {}),
}
_GONE = {
    "LocallyConnected1D": "", "LocallyConnected2D": "", "DenseFeatures": "", "Merge": "", "MaxoutDense": "", "Highway": "",
    "RandomFourierFeatures": "", "TensorFlowOpLayer": ": a TensorFlow function without a Keras layer",
}  # fmt: skip
_RENAMED = {("LeakyReLU", "alpha"): "negative_slope", ("ThresholdedReLU", "theta"): "threshold"}
# field that is no more -> values of it that mean nothing
_DROPPED = {
    "batch_input_shape": ANY, "input_dtype": ANY, "input_length": ANY, "implementation": ANY, "fused": ANY, "query_shape": ANY,
    "key_shape": ANY, "value_shape": ANY, "noise_shape": ANY, "kernel_initializer": ANY, "kernel_regularizer": ANY,
    "kernel_constraint": ANY, "time_major": [False, None], "ragged": [False, None], "virtual_batch_size": [None],
    "adjustment": [None], "groups": [1, None], "causal": [False, None],
    "zero_output_for_mask": [False, None],
}  # fmt: skip
_FAMILIES = {"initializer": "keras.initializers", "regularizer": "keras.regularizers", "constraint": "keras.constraints"}
_RECURRENT = {"RNN", "LSTM", "GRU", "SimpleRNN", "CuDNNLSTM", "CuDNNGRU", "Bidirectional", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"}
_NUMPY_FIELDS = {"type", "value"}


def is_old(version):
    """Whether a file's ``keras_version`` is before Keras 3."""
    return isinstance(version, str) and version.split(".")[0] in ("0", "1", "2")


def clean(name):
    """A layer's name without the slashes that Keras 2 allowed."""
    return name.replace("/", "_") if isinstance(name, str) else name


# ---- layers and models
def upgrade(config):
    """The config of today for what a file of Keras 2 has for a layer, a model, or any other object."""
    name, inner = config["class_name"], config["config"]
    if isinstance(inner, list):  # Sequential before 2.2.3
        inner = {"name": "sequential", "layers": inner}
    if isinstance(inner, dict) and isinstance(inner.get("layers"), list) and not registry.find("keras.layers", name):
        return _with_rest(config, *_model(name, dict(inner)))
    if name in _GONE:
        raise ValueError(f"The file has a layer {name}, which is not in Keras 3{_GONE[name]}, and so not here.")
    if registry.find("keras.layers", _CLASSES.get(name, (name,))[0]) and get_registered_object(name) is None:
        return _with_rest(config, *_layer(name, dict(inner)))
    inner = {key: _value(key, value) for key, value in inner.items() if key != "batch_input_shape"}
    return {**config, "module": config.get("module"), "config": inner, "registered_name": config.get("registered_name") or name}


def _with_rest(config, module, name, inner):
    rest = {key: config[key] for key in ("inbound_nodes", "compile_config", "shared_object_id") if key in config}
    if isinstance(inner.get("layers"), list) and config.get("build_config"):
        rest["build_config"] = config["build_config"]  # layers are built by what calls them
    name_of_entry = {"name": clean(config["name"])} if "name" in config else {}
    return {"module": module, "class_name": name, "config": inner, "registered_name": None if module else name, **rest, **name_of_entry}


def _layer(name, inner):
    for (cls, old), new in _RENAMED.items():
        if cls == name and old in inner:
            inner[new] = inner.pop(old)
    if name in ("GRU", "GRUCell"):
        inner.setdefault("reset_after", False)
    if name == "InputLayer" and "batch_input_shape" in inner:
        inner["batch_shape"] = inner.pop("batch_input_shape")
    axis = inner.get("axis")
    if isinstance(axis, list) and len(axis) == 1:
        inner["axis"] = axis[0]
    if name == "Lambda":
        _lambda(inner)
    today, extra = _CLASSES.get(name, (name, {}))
    known = inspect.signature(registry.find("keras.layers", today)).parameters
    for field in [field for field in inner if field in _DROPPED and field not in known]:
        value = inner.pop(field)
        if _DROPPED[field] is not ANY and value not in _DROPPED[field]:
            where = f"The file's layer {name} '{inner.get('name')}'"
            raise ValueError(f"{where} has {field}={value!r}, which is not in Keras 3, and so not here.")
    inner = {key: _value(key, value) for key, value in inner.items()}
    if "name" in inner:
        inner["name"] = clean(inner["name"])
    return "keras.layers", today, {**inner, **extra}


def _lambda(inner):
    for field in ("module", "function_type", "output_shape_type", "output_shape_module"):
        inner.pop(field, None)
    function = inner.get("function")
    if isinstance(function, list):
        inner["function"] = {"class_name": "__lambda__", "config": dict(zip(("code", "defaults", "closure"), function, strict=True))}


def _value(key, value):
    """A field's value: objects in it, and the forms in which Keras 2 put what JSON does not have."""
    if isinstance(value, list):
        return [_value(key, item) for item in value]
    if not isinstance(value, dict):
        return "softmax" if value == "softmax_v2" else value
    if set(value) == _NUMPY_FIELDS:
        return value["value"]
    if "items" in value and value.get("class_name") in ("__tuple__", "TensorShape"):
        return [_value(key, item) for item in value["items"]]
    if value.get("class_name") in ("Policy", "PolicyV1"):
        return value["config"]["name"]
    if "class_name" not in value or "config" not in value:
        return {name: _value(name, item) for name, item in value.items()}
    if key == "function" or not isinstance(value["config"], dict):
        return value
    family = next((module for suffix, module in _FAMILIES.items() if key.endswith(suffix)), None)
    if family is None:
        return upgrade(value)
    inner = {name: item for name, item in value["config"].items() if name != "dtype"}
    if inner.get("distribution") == "normal":
        inner["distribution"] = "truncated_normal"
    name = value["class_name"]
    module = value.get("module") or (family if registry.find(family, name) else None)
    return {"module": module, "class_name": name, "config": inner, "registered_name": None if module else name}


def _model(name, inner):
    if "input_layers" in inner:
        layers, shifts = _graph(inner["layers"])
        outputs = _map_places(inner["output_layers"], lambda n, i, t: [clean(n), i - (shifts.get(n) == "Sequential"), t])
        inputs = _map_places(inner["input_layers"], lambda n, i, t: [clean(n), i, t])
        inner = {**inner, "layers": layers, "input_layers": inputs, "output_layers": outputs}
    else:
        layers = [upgrade(layer) for layer in inner["layers"]]
        shape, dtype = _input_of(inner["layers"][0]) if layers else (None, None)
        if layers and layers[0]["class_name"] != "InputLayer" and shape is not None:
            entry = {"batch_shape": shape, "dtype": dtype, "name": f"{layers[0]['config'].get('name', 'layer')}_input"}
            layers.insert(0, {"module": "keras.layers", "class_name": "InputLayer", "config": entry, "registered_name": None})
        inner = {**inner, "layers": layers}
    inner["name"] = clean(inner.get("name") or name.lower())
    if get_registered_object(name) is not None:
        return None, name, inner
    if name in ("Model", "Functional"):
        return "keras.src.models.functional", "Functional", inner
    return ("keras" if name == "Sequential" else None), name, inner


def _input_of(entry):
    """Shape and dtype of what a first layer, or the first one inside it, takes; None where the file doesn't say."""
    inner = entry["config"]
    if isinstance(inner, list) or "layers" in inner:
        layers = inner if isinstance(inner, list) else inner["layers"]
        return _input_of(layers[0]) if layers else (None, None)
    if "batch_input_shape" not in inner and "layer" in inner:
        return _input_of(inner["layer"])
    dtype = inner.get("dtype")
    kind = "int32" if entry["class_name"] == "Embedding" else dtype if isinstance(dtype, str) and "mixed" not in dtype else "float32"
    return inner.get("batch_input_shape"), kind


# ---- graphs
def _graph(entries):
    """Entries of a Functional config, and which names are models: their own graph counted as their first call."""
    models = {entry["name"]: entry["class_name"] for entry in entries if "layers" in entry["config"] or isinstance(entry["config"], list)}
    names = {entry["name"] for entry in entries}
    layers = []
    for entry in entries:
        calls = [_call(node, names, models, entry["class_name"]) for node in entry.get("inbound_nodes", ())]
        if entry["class_name"] in ("TFOpLambda", "SlicingOpLambda"):
            where = f"The file's layer '{entry['name']}'"
            kind, config, calls = tf_ops.upgraded(entry["config"]["function"], where, [(args[0], kwargs) for args, kwargs in calls])
            layer = {**kind, "config": {"name": clean(entry["name"]), **config}}
        else:
            layer = upgrade(entry)
        nodes = [{"args": args, "kwargs": kwargs} for args, kwargs in calls]
        layers.append({**layer, "name": clean(entry["name"]), "inbound_nodes": nodes})
    return layers, models


def _call(node, names, models, class_name):
    """Arguments of one call."""
    found: dict = {}

    def tensor(name, index, tensor_index):
        history = [clean(name), index - (name in models), tensor_index]
        return {"class_name": "__keras_tensor__", "config": {"shape": [], "dtype": "float32", "keras_history": history}}

    def first(part):
        if _is_place(part) and (part[0] in names or part[0] == "_CONSTANT_VALUE"):
            if len(part) == 4 and part[3] and not found:
                found.update(part[3])
            return part[2] if part[0] == "_CONSTANT_VALUE" else tensor(*part[:3])
        if isinstance(part, list):
            return [first(item) for item in part]
        return {key: first(item) for key, item in part.items()} if isinstance(part, dict) else part

    def other(key, value):
        if _is_place(value) and len(value) == 3 and value[0] in names:
            return tensor(*value)
        if isinstance(value, list):
            return [other(key, item) for item in value]
        return _value(key, value) if not isinstance(value, dict) else {name: other(name, item) for name, item in value.items()}

    x = first(node)
    if isinstance(x, list) and len(x) == 1:
        x = x[0]
    kwargs = {key: other(key, value) for key, value in found.items() if value is not None or key not in ("mask", "training", "name")}
    if class_name in _RECURRENT and isinstance(x, list):  # states were handed over with the input
        kwargs["initial_state"] = x[1:]
        x = x[0]
    return [x], kwargs


def _is_place(part):
    return isinstance(part, list) and len(part) in (3, 4) and isinstance(part[0], str) and type(part[1]) is int


def _map_places(places, function):
    if isinstance(places, list) and len(places) == 3 and isinstance(places[0], str):
        return function(*places)
    if isinstance(places, dict):
        return {key: _map_places(value, function) for key, value in places.items()}
    return [_map_places(value, function) for value in places]


# ---- weights
def weights_for(variables, arrays):
    """Arrays of a layer as its variables want them: those of CuDNN's layers have gates transposed and two biases.

    ``arrays`` come back as they are where they are no weights of a CuDNN layer.
    """
    if len(arrays) != 3 or len(variables) != 3 or len(arrays[1].shape) != 2:
        return arrays
    units, gates = arrays[1].shape[0], arrays[1].shape[1] // max(arrays[1].shape[0], 1)
    if gates not in (3, 4) or tuple(arrays[2].shape) != (2 * units * gates,):
        return arrays
    kernel, recurrent, bias = map(np.asarray, arrays)
    kernel = np.hstack([part.T.reshape(part.shape, order="F") for part in np.hsplit(kernel, gates)])
    recurrent = np.hstack([part.T for part in np.hsplit(recurrent, gates)])
    bias = bias.reshape(2, -1)
    return [kernel, recurrent, bias if gates == 3 else bias.sum(0)]


# ---- training
def optimizer_config(config):
    """An optimizer's class and config of today; a ``decay`` is the schedule that it meant."""
    name = config["class_name"].rsplit(">", 1)[-1]
    inner = {key: value for key, value in config["config"].items() if key not in ("jit_compile", "is_legacy_optimizer", "decay", "lr")}
    inner["learning_rate"] = inner.get("learning_rate", config["config"].get("lr", 0.001))
    decay = config["config"].get("decay")
    if decay:
        schedule = {"initial_learning_rate": inner["learning_rate"], "decay_steps": 1, "decay_rate": decay}
        inner["learning_rate"] = {"module": "keras.optimizers.schedules", "class_name": "InverseTimeDecay", "config": schedule,
                                  "registered_name": None}  # fmt: skip
    if isinstance(inner["learning_rate"], dict):
        rate = inner["learning_rate"]
        rate["config"] = {key: value for key, value in rate["config"].items() if key != "name" or value is not None}
    if inner.get("epsilon", 0) is None:
        inner["epsilon"] = 1e-7
    if "name" in inner:
        inner["name"] = inner["name"].lower()
    return {"module": config.get("module"), "class_name": name, "config": inner}


def upgrade_file(config):
    """The config of a whole ``.keras`` file, with how the model was compiled."""
    made, compiled = upgrade(config), config.get("compile_config")
    if compiled:
        compiled = {key: value for key, value in compiled.items() if value is not None}
        if isinstance(compiled.get("optimizer"), dict):
            compiled["optimizer"] = {**compiled["optimizer"], **optimizer_config(compiled["optimizer"])}
        for key in ("loss", "metrics", "weighted_metrics"):
            if key in compiled:
                compiled[key] = each(compiled[key], loss_or_metric)
    return {**made, "compile_config": compiled}


def each(value, function):
    """``function`` of each loss or metric in a structure of them."""
    if isinstance(value, dict) and "class_name" not in value:
        return {key: each(item, function) for key, item in value.items()}
    return [each(item, function) for item in value] if isinstance(value, list) else function(value)


def in_order(arrays, optimizer):
    """An optimizer's arrays in the order of ``optimizer.variables``, where an older Keras had another one.

    Keras 2 kept no learning rate: the config's stays. Nadam's product of momenta stood before the slots in older versions of Keras 3.
    """
    own = optimizer.variables
    if len(arrays) == len(own) - 1 and len(own) > 1 and own[1] is getattr(optimizer, "_learning_rate", None):
        arrays = [arrays[0], own[1].numpy(), *arrays[1:]]
    product = getattr(optimizer, "_u_product", None)
    if product is not None and len(arrays) == len(own) and own[-1] is product and not _fit(own, arrays):
        first = 2 if own[1] is getattr(optimizer, "_learning_rate", None) else 1
        moved = [*arrays[:first], *arrays[first + 1 :], arrays[first]]
        return moved if _fit(own, moved) else arrays
    return arrays


def _fit(variables, arrays):
    return all(tuple(v.shape) == tuple(array.shape) for v, array in zip(variables, arrays, strict=True))


def optimizer_arrays(arrays, names, optimizer, count):
    """The arrays of an optimizer of Keras 2 slot by variable; ``count`` variables are trained."""
    slots = arrays[1:]
    if names and (names[0].split("/")[-1].startswith("iter:") or "Variable" in names[0]):  # those before 2.11: slot by slot
        groups = [slots[i : i + count] for i in range(0, len(slots) - len(slots) % count, count)] if count else []
        if type(optimizer).__name__ in ("Adam", "Adamax", "Nadam", "AdamW", "Adadelta", "Ftrl") and len(groups) > 1:
            slots = [slot for pair in zip(groups[0], groups[1], strict=True) for slot in pair]
            slots += groups[2] if getattr(optimizer, "amsgrad", False) and len(groups) > 2 else []
    return [arrays[0], *slots]


def loss_or_metric(value, output_names=()):
    """A loss or metric of a Keras 2 training config: wrappers by the function that they wrap."""
    if not isinstance(value, dict) or "class_name" not in value:
        return value
    inner = {key: item for key, item in value["config"].items() if key != "fn"}
    if inner.get("reduction") == "auto":
        inner["reduction"] = "sum_over_batch_size"
    if value["class_name"] not in ("MeanMetricWrapper", "LossFunctionWrapper", "SumOverBatchSizeMetricWrapper"):
        return {**value, "config": inner}
    name, function = inner.get("name", ""), value["config"]["fn"]
    for output in output_names:
        name = name.removeprefix(f"{output}_") or name
    if name in ("accuracy", "acc", "crossentropy", "ce") or registry.find("keras.metrics", name):
        return name
    return function if isinstance(function, str) else function.get("config", name)
