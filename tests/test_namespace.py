"""Every public name has Keras's parameters, order and defaults, and a row in the conformance tables."""

import inspect

import keras
import pytest

import kerasish

NAMESPACES = [
    "", "activations", "backend", "callbacks", "config", "constraints", "dtype_policies", "export", "initializers", "layers", "losses",
    "metrics", "models", "ops", "ops.image", "ops.linalg", "ops.nn", "ops.numpy", "optimizers", "optimizers.schedules", "random",
    "regularizers", "saving", "tree", "utils", "utils.bounding_boxes", "utils.legacy", "preprocessing", "preprocessing.image",
    "preprocessing.sequence", "datasets.boston_housing", "datasets.california_housing", "datasets.cifar10", "datasets.cifar100",
    "datasets.fashion_mnist", "datasets.imdb", "datasets.mnist", "datasets.reuters",
]  # fmt: skip

# what kerasish has beyond Keras
OURS = {
    "GradientTape", "Tensor", "check_grads", "enable_grad", "function", "grad", "hessian", "jacobian", "no_grad", "value_and_grad",
    "config.standardize_data_format", "saving.UnsafeFileError", "utils.AUTOTUNE", "utils.Dataset",
}  # fmt: skip

# parameters that differ on purpose: name -> why
DIFFERENT: dict = {}


def public(module):
    names = getattr(module, "__all__", None) or [n for n in dir(module) if not n.startswith("_")]
    return [n for n in names if not inspect.ismodule(getattr(module, n, None))]


def walk(namespace):
    ours, theirs = kerasish, keras
    for part in filter(None, namespace.split(".")):
        ours, theirs = getattr(ours, part), getattr(theirs, part)
    return ours, theirs


PAIRS = [(ns, name) for ns in NAMESPACES for name in public(walk(ns)[0])]


@pytest.mark.parametrize(("namespace", "name"), PAIRS, ids=[f"{ns}.{n}".lstrip(".") for ns, n in PAIRS])
def test_signature_is_keras(namespace, name):
    full = f"{namespace}.{name}".lstrip(".")
    ours, theirs = (getattr(module, name, None) for module in walk(namespace))
    if full in OURS or name == "__version__":
        return
    assert theirs is not None, f"{full} is not in Keras: list it in OURS or drop it"
    if not callable(ours) or full in DIFFERENT:
        return
    mine, keras_ = parameters(ours), parameters(theirs)
    assert [m[0] for m in mine] == [k[0] for k in keras_], f"{full}: parameters {[m[0] for m in mine]}, Keras's {[k[0] for k in keras_]}"
    for m, k in zip(mine, keras_, strict=True):
        assert plain(m[1]) == plain(k[1]), f"{full}: default of {m[0]} is {m[1]!r}, Keras's {k[1]!r}"


def parameters(symbol):
    signature = inspect.signature(symbol.__init__ if inspect.isclass(symbol) else symbol)
    return [(p.name, p.default, p.kind) for p in signature.parameters.values() if p.name != "self"]


def plain(default):
    return default if isinstance(default, (int, float, str, bool, tuple, list, type(None))) else str(type(default).__name__)


@pytest.mark.parametrize("name", ["ops.linalg", "ops.nn", "ops.numpy"])
def test_families_of_ops_have_all_of_keras_names(name):
    ours, theirs = walk(name)
    assert set(ours.__all__) == {n for n in dir(theirs) if not n.startswith("_")}
    assert all(getattr(ours, n) is getattr(kerasish.ops, n) for n in ours.__all__)


_OTHER_FRAMEWORKS, _QUANTIZATION = "runs another framework's code", "quantization is out of scope"
MISSING = {  # namespace -> name -> why
    "layers": dict.fromkeys(["FlaxLayer", "JaxLayer", "TFSMLayer", "TorchModuleWrapper"], _OTHER_FRAMEWORKS),
    "dtype_policies": dict.fromkeys(
        ["AWQDTypePolicy", "GPTQDTypePolicy", "Int4DTypePolicy", "QuantizedDTypePolicy", "QuantizedFloat8DTypePolicy"], _QUANTIZATION
    ),
}
COMPLETE = [
    "activations", "config", "constraints", "dtype_policies", "initializers", "layers", "losses", "metrics", "mixed_precision", "models",
    "ops", "ops.image", "ops.linalg", "ops.nn", "ops.numpy", "optimizers", "optimizers.legacy", "optimizers.schedules", "random",
    "regularizers", "tree",
]  # fmt: skip


@pytest.mark.parametrize("namespace", COMPLETE)
def test_all_of_keras_names_are_there(namespace):
    ours, theirs = walk(namespace)
    missing = {name for name in public(theirs) if not hasattr(ours, name)}
    assert missing == set(MISSING.get(namespace, {}))
