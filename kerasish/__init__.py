"""kerasish: the Keras 3 API, training included, on an autodiff core of its own that runs on NumPy or CuPy.

``import kerasish as keras`` runs a Keras script. Beyond Keras: ``grad``, ``value_and_grad``, ``jacobian``, ``hessian``,
``GradientTape``, ``no_grad``, ``check_grads`` and ``Tensor.backward`` take gradients of anything written in ``kerasish.ops``.
"""

from kerasish import (
    activations,
    backend,
    callbacks,
    config,
    constraints,
    datasets,
    dtype_policies,
    export,
    initializers,
    layers,
    losses,
    metrics,
    mixed_precision,
    models,
    ops,
    optimizers,
    preprocessing,
    random,
    regularizers,
    saving,
    tree,
    utils,
)
from kerasish.backend.autodiff.check import check_grads
from kerasish.backend.autodiff.gradient import (
    GradientTape,
    enable_grad,
    grad,
    hessian,
    jacobian,
    no_grad,
    value_and_grad,
)
from kerasish.backend.autodiff.remat import RematScope, remat
from kerasish.backend.autodiff.scopes import StatelessScope, SymbolicScope
from kerasish.backend.autodiff.state import device, name_scope
from kerasish.backend.autodiff.symbolic import Function, Operation
from kerasish.backend.autodiff.tensor import KerasTensor, Tensor
from kerasish.backend.autodiff.variable import Variable
from kerasish.backend.plan.function import function
from kerasish.dtype_policies import DTypePolicy, FloatDTypePolicy
from kerasish.initializers import Initializer
from kerasish.layers import Input, InputSpec, Layer
from kerasish.losses import Loss
from kerasish.metrics import Metric
from kerasish.models import Model, Sequential
from kerasish.optimizers import Optimizer
from kerasish.regularizers import Regularizer
from kerasish.saveable import enable_unsafe_deserialization
from kerasish.version import __version__, version

# Keras shows these under `config`; they live where they belong
vars(config).update(
    dtype_policy=dtype_policies.dtype_policy,
    set_dtype_policy=dtype_policies.set_dtype_policy,
    enable_unsafe_deserialization=enable_unsafe_deserialization,
)

__all__ = [
    "DTypePolicy", "FloatDTypePolicy", "Function", "GradientTape", "Initializer", "Input", "InputSpec", "KerasTensor", "Layer",
    "Loss", "Metric", "Model", "Operation", "Optimizer", "Regularizer", "RematScope", "Sequential", "StatelessScope",
    "SymbolicScope", "Tensor", "Variable", "__version__", "activations", "backend", "callbacks", "check_grads", "config",
    "constraints", "datasets", "device", "dtype_policies", "enable_grad", "export", "function", "grad", "hessian", "initializers",
    "jacobian", "layers", "losses", "metrics", "mixed_precision", "models", "name_scope", "no_grad", "ops", "optimizers",
    "preprocessing", "random", "regularizers", "remat", "saving", "tree", "utils", "value_and_grad", "version",
]  # fmt: skip
