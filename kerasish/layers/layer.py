"""Layer: what every layer has. Its variables and sub-layers, building, the call, masks, losses, state and config."""

import functools
import inspect
import warnings

from kerasish import config, constraints, dtype_policies, initializers, ops, regularizers, tree
from kerasish.backend.autodiff.dtypes import is_float, standardize_dtype
from kerasish.backend.autodiff.scopes import AutocastScope, StatelessScope, in_stateless_scope
from kerasish.backend.autodiff.state import current_path, name_scope, setting, state
from kerasish.backend.autodiff.symbolic import (
    Node,
    Operation,
    any_symbolic_tensors,
    compute_output_spec,
    default,
    is_default,
)
from kerasish.backend.autodiff.tensor import KerasTensor, NoValueError, Tensor, is_tensor, standardize_shape
from kerasish.backend.autodiff.variable import Variable, initialize_all_variables
from kerasish.backend.random import SeedGenerator
from kerasish.dtype_policies import DTypePolicyMap
from kerasish.layers import open_sizes
from kerasish.layers.input_spec import assert_input_compatibility
from kerasish.layers.mismatch import differing_values
from kerasish.layers.rematerialization import rematerialized
from kerasish.loading import UnsafeFileError, brief, is_marked, mark, reserve, spend
from kerasish.metrics.metric import Metric
from kerasish.ops.sizes import closed, is_open, reading
from kerasish.saveable import deserialize_keras_object, serialize_keras_object
from kerasish.tracking import Tracker, no_tracking


class Layer(Operation):
    """A function with state: variables, sub-layers and a config (``keras.Layer``).

    Subclasses define ``call``, and ``build`` where variables depend on the input's shape. Annotated fields in the class body are
    the constructor and the config; an ``__init__`` of one's own works as in Keras. Errors raised in a call name the layer.

    >>> class Scale(Layer):
    ...     def build(self, input_shape):
    ...         self.w = self.add_weight(shape=input_shape[-1:], initializer="ones", name="w")
    ...     def call(self, x):
    ...         return x * self.w
    >>> Scale()(ops.ones((1, 3))).tolist()
    [[1.0, 1.0, 1.0]]
    """

    keras_module = "keras.layers"
    supports_masking = False
    supports_jit = True
    _unrecorded: frozenset = frozenset()  # attributes that no step depends on
    locks_state = True  # whether a built layer takes no more variables and layers
    saves_layers_first = False  # True where files hold the layers under "layers", as of Sequential and Functional models
    input_spec = None
    built = False
    _super_called = False
    _convert_input_args = True
    _allow_non_tensor_positional_args = False
    _call_context_args = frozenset({"training"})
    _config_without_none = ()  # fields that the config leaves out while they are None

    # ---- construction
    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "build" in vars(cls):
            cls.build = _wrapped_build(vars(cls)["build"])
            if "built" not in vars(cls):
                cls.built = False  # though a parent has nothing to build

    def __new__(cls, *args, **kwargs):
        if isinstance(kwargs.get("dtype"), dtype_policies.DTypePolicy):  # as files have it, for the config made of the arguments
            kwargs["dtype"] = serialize_keras_object(kwargs["dtype"])
        return super().__new__(cls, *args, **kwargs)

    def __init__(self, *, activity_regularizer=None, trainable=True, dtype=None, autocast=True, name=None, **kwargs):
        self._super_called = True
        super().__init__(name=name)
        self._dtype_policy = dtype_policies.get(dtype)
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self.autocast = autocast
        shape = (kwargs.pop("input_dim"),) if "input_dim" in kwargs else kwargs.pop("input_shape", None)
        if shape is not None:
            warnings.warn(
                "Layers take no `input_shape`/`input_dim`: begin a Sequential model with an `Input(shape)` instead.",
                stacklevel=3,
            )
            self._input_shape_arg = shape
        if kwargs:
            raise ValueError(f"Unrecognized keyword arguments passed to {type(self).__name__}: {kwargs}")
        if not isinstance(trainable, bool):
            raise ValueError(f"`trainable` has to be a boolean, got {trainable} ({type(trainable)})")
        self._trainable = trainable
        self.__dict__["_remat_mode"] = state.remat
        self.__dict__["_losses"] = []  # not tracked: filled and emptied by every call
        self._called = False
        self._path, self._build_shapes = None, None
        if not is_default(type(self).compute_mask):
            self.supports_masking = True
        self._ensure_tracker()

    def _init_base(self, **kwargs):
        Layer.__init__(self, **kwargs)

    def _ensure_tracker(self):
        if "_tracker" in self.__dict__:
            return self._tracker
        stores = {name: [] for name in ("trainable_variables", "non_trainable_variables", "metrics", "layers", "seed_generators")}
        tests = (_is_trainable, _is_a(Variable), _is_a(Metric), _is_a(Layer), _is_a(SeedGenerator))
        for name, store in stores.items():
            self.__dict__[f"_{name}"] = store
        self.__dict__["_tracker"] = Tracker(dict(zip(stores, zip(tests, stores.values(), strict=True), strict=True)))
        return self._tracker

    def __setattr__(self, name, value):
        super().__setattr__(name, self._ensure_tracker().track(value))
        if name not in self._unrecorded:
            config._changes.count += 1

    def __delattr__(self, name):
        self._tracker.untrack(getattr(self, name))
        super().__delattr__(name)

    def _check_super_called(self):
        if not self._super_called:
            raise RuntimeError(f"'{type(self).__name__}.__init__' forgot to call `super().__init__()` before anything else.")

    # ---- variables
    def add_weight(self, *args, shape=None, initializer=None, dtype=None, trainable=True, autocast=True, regularizer=None,
                   constraint=None, aggregation="none", overwrite_with_gradient=False, name=None):  # fmt: skip
        """Make a variable that belongs to this layer; ``shape`` None is a scalar, ``initializer`` a name, object or callable.

        ``args``: shape, initializer and dtype by place.
        """
        self._check_super_called()
        shape, initializer, dtype = _by_place(args, shape=shape, initializer=initializer, dtype=dtype)
        dtype = self.variable_dtype if dtype is None else standardize_dtype(dtype)
        if shape is not None and isinstance(shape, (tuple, list)) and is_open(shape):
            raise ValueError(f"A weight can't have a size that is open. Received: shape={tuple(shape)}")
        if initializer is None:
            initializer = "glorot_uniform" if is_float(dtype) else "zeros"
        reserve(() if shape is None else standardize_shape(shape), dtype)
        with name_scope(self.name, caller=self):
            variable = Variable(
                initializers.get(initializer), () if shape is None else shape, dtype, trainable, autocast, aggregation, name=name
            )
        variable.regularizer, variable.constraint = regularizers.get(regularizer), constraints.get(constraint)
        variable.overwrite_with_gradient = overwrite_with_gradient
        self._ensure_tracker().track(variable)
        if not self.trainable:
            variable.trainable = False
        return variable

    def add_variable(self, shape, initializer, dtype=None, trainable=True, autocast=True, regularizer=None, constraint=None,
                     name=None):  # fmt: skip
        """The same as :meth:`add_weight`."""
        return self.add_weight(shape, initializer, dtype, trainable=trainable, autocast=autocast, regularizer=regularizer,
                               constraint=constraint, name=name)  # fmt: skip

    def _flatten_layers(self, include_self=True, recursive=True):
        """This layer and those inside it, each once, outer ones first."""
        found = {id(self): self}
        queue = list(self._layers)
        while queue:
            layer = queue.pop(0)
            if id(layer) not in found:
                found[id(layer)] = layer
                if recursive:
                    queue[:0] = layer._layers
        layers = list(found.values())
        return layers if include_self else layers[1:]

    @property
    def variables(self):
        """Weights and the state of seeds, of inner layers too; metrics' variables are in ``metrics_variables``."""
        return _unique(v for layer in self._flatten_layers() for v in layer._own_variables(seeds=True))

    def _own_variables(self, seeds):
        own = [*self._trainable_variables, *self._non_trainable_variables]
        return own + [seed.state for seed in self._seed_generators] if seeds else own

    @property
    def weights(self):
        """Variables that are part of the model: no seeds, no metrics."""
        return _unique(v for layer in self._flatten_layers() for v in layer._own_variables(seeds=False))

    @property
    def trainable_variables(self):
        """Variables that training changes; none while ``trainable`` is False."""
        return [v for v in self.variables if v.trainable] if self.trainable else []

    @property
    def non_trainable_variables(self):
        """Variables that training leaves to the layers themselves."""
        return [v for v in self.variables if not v.trainable] if self.trainable else self.variables

    @property
    def trainable_weights(self):
        """Weights that training changes."""
        return [v for v in self.weights if v.trainable] if self.trainable else []

    @property
    def non_trainable_weights(self):
        """Weights that training leaves as they are."""
        return [v for v in self.weights if not v.trainable] if self.trainable else self.weights

    @property
    def metrics(self):
        """Metrics of this layer and of those inside it."""
        return _unique(m for layer in self._flatten_layers() for m in layer._metrics)

    @property
    def metrics_variables(self):
        """Variables of the metrics."""
        return _unique(v for m in self.metrics for v in m.variables)

    @property
    def trainable(self):
        """Whether training changes this layer; setting it sets it for all inside."""
        return self._trainable

    @trainable.setter
    def trainable(self, value):
        self._trainable = bool(value)
        for variable in self._trainable_variables:
            variable.trainable = self._trainable
        for layer in self._layers:
            layer.trainable = self._trainable

    def get_weights(self):
        """Values of the weights as NumPy arrays, in the order of ``weights``."""
        return [v.numpy() for v in self.weights]

    def set_weights(self, weights):
        """Set the weights to arrays of the same number and shapes."""
        own = self.weights
        differing = "".join(f"\n  {line}" for line in differing_values(own, weights))
        if len(own) != len(weights):
            raise ValueError(
                f"`set_weights` gave layer '{self.name}' a weight list of length {len(weights)}, but it has {len(own)} weights.{differing}"
            )
        if differing:
            raise ValueError(f"Layer '{self.name}' has weights of other shapes than those given:{differing}")
        for variable, value in zip(own, weights, strict=True):
            variable.assign(value)

    def count_params(self):
        """Number of numbers in the weights."""
        if not self.built:
            raise ValueError(
                f"Layer '{self.name}' isn't built, so `count_params` has nothing to count. Call `layer.build(input_shape)` before."
            )
        return sum(v.size for v in self.weights)

    # ---- dtypes
    @property
    def dtype_policy(self):
        """What dtype this layer computes and keeps its variables in."""
        if isinstance(self._dtype_policy, DTypePolicyMap):
            return self._dtype_policy[self.path or self.name]
        return self._dtype_policy

    @dtype_policy.setter
    def dtype_policy(self, value):
        policy = dtype_policies.get(value)
        if isinstance(getattr(self, "_dtype_policy", None), DTypePolicyMap) and not isinstance(policy, DTypePolicyMap):
            self._dtype_policy[self.path] = policy
        else:
            self._dtype_policy = policy

    dtype = property(lambda self: self.variable_dtype)
    variable_dtype = property(lambda self: self.dtype_policy.variable_dtype)
    compute_dtype = property(lambda self: self.dtype_policy.compute_dtype)
    input_dtype = property(lambda self: self.compute_dtype)
    quantization_mode = None
    path = property(lambda self: self._path)
    _call_has_training_arg = property(lambda self: "training" in _signature(type(self).call).parameters)
    _call_has_mask_arg = property(lambda self: "mask" in _signature(type(self).call).parameters)

    # ---- building
    @default
    def build(self, input_shape):
        """Make the variables that depend on the input's shape. Layers without such have nothing to do."""
        self._check_super_called()
        if any(not layer.built for layer in self._layers):
            warnings.warn(
                f"Layer '{self.name}' has unbuilt state, but no `build()` of its own that would build it. It now counts as "
                "built, and may fail when it is called. Write a `build()` method.",
                stacklevel=2,
            )
        self._finish_build({"input_shape": input_shape})

    def _finish_build(self, shapes):
        """The end of every build: path and shapes are known, and no more variables are taken."""
        with name_scope(self.name, caller=self):
            self._path = current_path()
        with no_tracking():
            self._build_shapes = shapes
        self.built = True
        self._tracker.locked = self.locks_state and (
            f"Layer '{self.name}' is built: you cannot add new elements of state. Make variables and sub-layers in `__init__()` "
            "or `build()`."
        )
        self._post_build()

    def get_build_config(self):
        """Shapes that the layer was built with, or None."""
        shapes = self._build_shapes
        if shapes is None:
            return None
        return {"input_shape": next(iter(shapes.values()))} if len(shapes) == 1 else {"shapes_dict": dict(shapes)}

    def build_from_config(self, config):
        """Build with the shapes of ``get_build_config``."""
        if config and "input_shape" in config:
            self.build(as_shape(config["input_shape"]))
        elif config and "shapes_dict" in config:
            self.build(**{name: as_shape(shape) for name, shape in config["shapes_dict"].items()})

    def _post_build(self):
        """For bases that have something to do when all variables are there."""

    def _maybe_build(self, call):
        """Build for the shapes of a call's tensors."""
        if self.built:
            return
        if not is_default(type(self).build):
            self.build(**_shapes_for(self.build, call.shapes(), call, type(self).__name__))
            assert_input_compatibility(self.input_spec, call.first, self.name)
        elif all(layer.built for layer in self._layers):  # else the call itself builds what is inside
            self._finish_build(call.first_shape())

    # ---- the call
    def __call__(self, *args, **kwargs):
        self._check_super_called()
        symbolic = any_symbolic_tensors(args, kwargs)
        try:
            if not symbolic:
                return self._run(args, kwargs)
            return self.symbolic_call(*args, **kwargs)
        except Exception as error:
            self._explain(error, args, kwargs)
            raise

    def symbolic_call(self, *args, **kwargs):
        """The call on KerasTensors: builds, works out shapes and masks, and leaves one node."""
        if is_default(type(self).compute_output_spec):
            outputs = self._output_spec(args, kwargs)
        else:
            self._build_for(args, kwargs)
            outputs = self.compute_output_spec(*args, **kwargs)
        Node(self, args, kwargs, outputs)
        return outputs

    def _build_for(self, args, kwargs):
        call = _CallArguments(self, *self._converted(args, dict(kwargs)))
        assert_input_compatibility(self.input_spec, call.first, self.name)
        with name_scope(self.name, caller=self):
            self._maybe_build(call)

    def _output_spec(self, args, kwargs):
        self._build_for(args, kwargs)
        outputs = self._spec_of_call(lambda *args, **kwargs: self._run(args, kwargs), args, kwargs)
        if state.stateless is None:
            initialize_all_variables()
        return outputs

    def _spec_of_call(self, run, args, kwargs):
        reading.open_size, spec, failed = False, None, None
        try:
            spec = compute_output_spec(run, *args, **kwargs)
        except (TypeError, ValueError) as error:
            if isinstance(error, (UnsafeFileError, NoValueError)) or not open_sizes.has_open_sizes(args, kwargs):
                raise
            failed = error
        if failed is None and not reading.open_size:
            return spec
        try:  # the code may count with sizes
            return open_sizes.output_spec(run, args, kwargs, spec)
        except UnsafeFileError:
            raise
        except Exception:
            if failed is None:
                return spec
            raise failed from None

    @default
    def compute_output_spec(self, *args, **kwargs):
        """KerasTensors with the shapes and dtypes that a call would give."""
        return self._output_spec(args, kwargs)

    @default
    def compute_output_shape(self, *args, **kwargs):
        """Output shape for an input shape (or for one ``..._shape`` per tensor argument). The layer itself is not built by it."""
        if "input_shape" in kwargs:
            args = (kwargs.pop("input_shape"), *args)  # the first argument, whatever `call` names it
        args = tuple(_specs(shape, self.compute_dtype) for shape in args)
        kwargs = {name.removesuffix("_shape"): _specs(shape, self.compute_dtype) for name, shape in kwargs.items()}
        layer = self if self.built else self._copy_to_build()
        return tree.map_structure(lambda x: x.shape, layer._output_spec(args, kwargs))

    def _copy_to_build(self):
        """A new layer of the same config; this one where it has no config."""
        try:
            return type(self).from_config(self.get_config())
        except (NotImplementedError, TypeError, ValueError):
            return self

    def _converted(self, args, kwargs):
        """Arguments as tensors of the dtype that this layer computes in."""
        if not self._convert_input_args:
            return args, kwargs
        if not kwargs and len(args) == 1 and type(args[0]) is Tensor and args[0].dtype == self.input_dtype:
            return args, kwargs
        policy, dtype, autocast = self.dtype_policy, self.input_dtype, self.autocast

        def convert(x):
            if isinstance(x, KerasTensor):
                return x  # cast where it stands for a value: here it would leave a node
            y = policy.convert_input(x, autocast, dtype)
            if y is not x and isinstance(x, Tensor) and x._keras_mask is not None:
                y._keras_mask = x._keras_mask
            return y

        return tree.map_structure(convert, args), tree.map_structure(convert, kwargs)

    def _run(self, args, kwargs):
        """The call on tensors, with or without values."""
        args, kwargs = self._converted(args, dict(kwargs))
        if not self._allow_non_tensor_positional_args:
            self._check_positional(args)
        outer = state.call_context
        if outer is None and not in_stateless_scope():
            self._clear_losses()
        context = dict(outer or {})
        call = _CallArguments(self, args, kwargs)
        assert_input_compatibility(self.input_spec, call.first, self.name)
        with name_scope(self.name, caller=self), setting(call_context=context):
            if state.symbolic:
                spend("calls")
            self._maybe_build(call)
            self._fill_context(call, context, kwargs)
            previous_mask = self._fill_masks(call, kwargs)
            with self._autocast_scope():
                if state.symbolic and self._declares_shape():
                    outputs = self._declared_outputs(call)
                else:
                    run = self.call if self._remat_mode is None else self.rematerialized_call(self.call, *args, **kwargs)
                    outputs = run(*args, **kwargs)
            if not self.built:
                self._finish_build(call.first_shape())
            if not self._called:
                self._called = True
            self._add_activity_loss(outputs)
        self._pass_masks_on(call.first, outputs, previous_mask)
        return outputs

    def _check_positional(self, args):
        for x in tree.flatten(args):
            if x is not None and not isinstance(x, Tensor):
                raise ValueError(
                    f"Only input tensors may be passed as plain positional arguments. Make this a keyword argument: {x} ({type(x)})"
                )

    def _register_call_context_args(self, *names):
        """Let calls take these arguments, and hand them down as ``training``: to all layers inside that register them too."""
        if self._called:
            raise RuntimeError(f"Cannot add call-context args after the layer has been called. Layer '{self.name}' got {names}")
        self._call_context_args = self._call_context_args | frozenset(names)

    def _fill_context(self, call, context, kwargs):
        """``training`` and the like: what was passed, else what an outer call said, else the default of ``call``."""
        for name in self._call_context_args:
            if name in call.given:
                value = call.given[name]
            elif (value := context.get(name)) is None:
                value = call.arguments.get(name)
            context[name] = value
            if name in call.parameters:
                if value is not None:
                    kwargs[name] = value
                    call.arguments[name] = value
            else:
                kwargs.pop(name, None)

    def _fill_masks(self, call, kwargs):
        """Give ``mask`` (or ``x_mask``) arguments the masks that the tensors carry; returns the first input's mask."""
        tensors = call.tensors
        if len(tensors) == 1:
            if "mask" in call.parameters and call.arguments.get("mask") is None:
                kwargs["mask"] = tree.map_structure(_mask_of, next(iter(tensors.values())))
        else:
            for name, value in tensors.items():
                if f"{name}_mask" in call.parameters and call.arguments.get(f"{name}_mask") is None:
                    kwargs[f"{name}_mask"] = tree.map_structure(_mask_of, value)
        if kwargs.get("mask") is not None:
            return kwargs["mask"]
        return tree.map_structure(_mask_of, call.first)

    def _autocast_scope(self):
        if state.autocast is None and self.compute_dtype == self.variable_dtype:
            return _NOTHING
        return AutocastScope(self.compute_dtype if self.autocast and is_float(self.compute_dtype) else None)

    def _declares_shape(self):
        return not is_default(type(self).compute_output_shape)

    def _declared_outputs(self, call):
        """Outputs without values, of the shapes that a ``compute_output_shape`` of the user's own says."""
        shapes = self.compute_output_shape(**_shapes_for(self.compute_output_shape, call.shapes(), call, type(self).__name__))
        return tree.map_shape_structure(lambda shape: Tensor(None, tuple(shape), self.compute_dtype), shapes)

    def _add_activity_loss(self, outputs):
        if self.activity_regularizer is None:
            return
        for y in tree.flatten(outputs):
            if is_tensor(y):
                loss = self.activity_regularizer(y)
                if y.ndim > 0:
                    loss = ops.divide_no_nan(loss, ops.cast(ops.shape(y)[0], loss.dtype)) if y.shape[0] is not None else loss
                self.add_loss(loss)

    def _pass_masks_on(self, inputs, outputs, previous_mask):
        if self.supports_masking:
            flat = tree.flatten(outputs)
            if all(y._keras_mask is not None for y in flat if isinstance(y, Tensor)):
                return
            masks = self.compute_mask(inputs, previous_mask)
            if masks is not None:
                for y, mask in zip(flat, tree.flatten(masks), strict=False):  # further outputs have none
                    if isinstance(y, Tensor) and y._keras_mask is None and mask is not None:
                        y._keras_mask = mask
        elif any(mask is not None for mask in tree.flatten(previous_mask)):
            warnings.warn(
                f"Layer '{self.name}' ({type(self).__name__}) got a masked input. It does not support masking and will destroy "
                "the mask: the layers after it will not see one.",
                stacklevel=4,
            )

    def _explain(self, error, args, kwargs):
        """Note on an error which layer it came from and what that layer was given; the innermost layer speaks."""
        if getattr(error, "_names_layer", False):
            return
        where = self.path or self.name
        given = ", ".join([*map(_brief, args), *(f"{k}={_brief(v)}" for k, v in kwargs.items())])
        error.add_note(f"In layer '{where}' ({type(self).__name__}), called with ({given})")
        try:
            error._names_layer = True
        except AttributeError:
            pass  # some exceptions take no attributes: then outer layers add their note too

    @default
    def compute_mask(self, inputs, previous_mask):
        """The outputs' masks; by default the inputs' one is handed on."""
        return previous_mask

    def call(self, *args, **kwargs):
        self._check_super_called()
        raise NotImplementedError(f"Layer {type(self).__name__} does not have a `call` method implemented.")

    def stateless_call(self, trainable_variables, non_trainable_variables, *args, return_losses=False, **kwargs):
        """The call with the given values in place of the variables: ``(outputs, non_trainable_variables[, losses])``."""
        self._check_super_called()
        if not self.built:
            raise ValueError(f"{type(self).__name__} must be built before stateless_call: call it on some data.")
        own_trainable, own_rest = self.trainable_variables, self.non_trainable_variables
        mapping = []
        for what, given, own in (
            ("trainable_variables", trainable_variables, own_trainable),
            ("non_trainable_variables", non_trainable_variables, own_rest),
        ):
            if len(given) != len(own):
                raise ValueError(f"Argument `{what}` must be a list of {len(own)} tensors, as `layer.{what}`. Received {len(given)}.")
            mapping.extend(zip(own, given, strict=True))
        with StatelessScope(state_mapping=mapping, collect_losses=return_losses) as scope:
            outputs = self(*args, **kwargs)
            losses = self.losses if return_losses else None
        rest = [v if (new := scope.get_current_value(v)) is None else new for v in own_rest]
        return (outputs, rest, losses) if return_losses else (outputs, rest)

    def rematerialized_call(self, layer_call, *args, **kwargs):
        """``layer_call``, keeping less for gradients where this layer was made in a ``RematScope``."""
        return layer_call if self._remat_mode is None else rematerialized(self, layer_call, args, kwargs)

    # ---- losses
    def add_loss(self, loss):
        """Add a number (or several) to what training minimises, inside ``call``."""
        for value in tree.flatten(loss):
            if value is None:
                continue
            if not isinstance(value, Tensor):
                raise ValueError(f"Losses must be tensors. Layer '{self.name}' received {value!r}.")
            if in_stateless_scope():
                if state.stateless.collect_losses:
                    state.stateless.add_loss(value)
                    _losses_by_layer(state.stateless).setdefault(id(self), []).append(value)
            elif state.recording is not None and state.recording.outer is not None:
                raise NoValueError(f"Layer '{self.name}' can't add a loss inside a recorded branch or loop: the step around can't see it.")
            else:
                self._losses.append(value)

    @property
    def losses(self):
        """What ``add_loss`` collected in the last call, and the weights' regularization."""
        if in_stateless_scope():
            by_layer = _losses_by_layer(state.stateless)
            own = [loss for layer in self._flatten_layers() for loss in by_layer.get(id(layer), ())]
        else:
            own = [loss for layer in self._flatten_layers() for loss in layer._losses]
        return own + [v.regularizer(v) for v in self.trainable_weights if v.regularizer is not None]

    def _clear_losses(self):
        for layer in self._flatten_layers():
            layer._losses.clear()

    # ---- files
    def save_own_variables(self, store):
        """Put this layer's own variables into ``store`` under "0", "1", ..."""
        for i, variable in enumerate(self._variables_in_files()):
            store[str(i)] = variable.numpy()

    def _variables_in_files(self):
        return self._own_variables(seeds=False)

    def load_own_variables(self, store):
        """Set this layer's own variables from ``store``."""
        own = self._variables_in_files()
        if len(store.keys()) != len(own):
            expected = "was never built" if not self.built and not own else f"expected {len(own)} variables"
            raise ValueError(
                f"Layer '{self.path or self.name}' {expected}, but received {len(store.keys())} variables during loading: "
                f"{sorted(store.keys())}. Expected: {[(v.name, v.shape) for v in own]}"
            )
        for i, variable in enumerate(own):
            variable.assign(store[str(i)])

    @default
    def get_config(self):
        """Constructor arguments as JSON-ready values."""
        config = super().get_config()
        base = {"trainable": self.trainable, "dtype": serialize_keras_object(self._dtype_policy)}
        if self.activity_regularizer is not None:
            base["activity_regularizer"] = regularizers.serialize(self.activity_regularizer)
        parameters = inspect.signature(type(self).__init__).parameters
        if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):  # only what the constructor takes
            base = {key: value for key, value in base.items() if key in parameters}
        config = {**config, **base}
        return {key: value for key, value in config.items() if value is not None or key not in self._config_without_none}

    @classmethod
    def from_config(cls, config):
        """Make a layer from what ``get_config`` returned."""
        if isinstance(config.get("dtype"), dict):
            policy = dtype_policies.deserialize(config["dtype"])
            config = {**config, "dtype": policy if isinstance(policy, DTypePolicyMap) else policy.name}
        try:
            return cls(**config)
        except Exception as error:
            if isinstance(error, UnsafeFileError) or (isinstance(error, TypeError) and is_marked(error)):  # it is about something inside
                raise
            wrapped = TypeError(
                f"Error when deserializing class '{cls.__name__}' using config={brief(config)}.\n\nException encountered: {error}"
            )
            if is_marked(error):
                mark(wrapped, error._config)
            raise wrapped from error

    def quantize(self, mode=None, config=None, **kwargs):
        """Quantization is out of kerasish's scope: raises ValueError that says so."""
        raise ValueError(f"Layer '{self.name}': quantization is not supported. Train and save in float16 or bfloat16 instead.")

    def __repr__(self):
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"

    def __str__(self):
        return repr(self)


def serialize(layer):
    """The layer's config, from which ``deserialize`` makes it again (``keras.layers.serialize``)."""
    return serialize_keras_object(layer)


def deserialize(config, custom_objects=None):
    """The layer that a config describes (``keras.layers.deserialize``); ValueError where it describes something else."""
    layer = deserialize_keras_object(config, custom_objects)
    if not isinstance(layer, Layer):
        raise ValueError(f"The `config` is not a `keras.layers.Layer`, but {config}")
    return layer


def _is_a(cls):
    return functools.partial(_is_instance, cls)


def _is_instance(cls, x):
    return isinstance(x, cls)


def _is_trainable(x):
    return isinstance(x, Variable) and x.trainable


class _Nothing:
    def __enter__(self):
        return None

    def __exit__(self, *exc):
        return None


_NOTHING = _Nothing()


@functools.lru_cache(maxsize=None)
def _signature(function):
    return inspect.signature(function)


class _CallArguments:
    """The arguments of one call by name, and which of them are tensors."""

    def __init__(self, layer, args, kwargs):
        signature = _signature(type(layer).call)
        self.parameters = signature.parameters
        context = {k: v for k, v in kwargs.items() if k in layer._call_context_args and k not in self.parameters}
        bound = signature.bind(layer, *args, **{k: v for k, v in kwargs.items() if k not in context})
        self.given = {**context, **bound.arguments}
        bound.apply_defaults()
        self.arguments = dict(bound.arguments)
        self.arguments.pop(next(iter(self.parameters)))
        self.first = next(iter(self.arguments.values()), None)
        self.tensors = {name: value for name, value in self.arguments.items() if _holds_tensors(name, value)}

    def shapes(self):
        """``{"x_shape": shape}`` for each argument that holds tensors."""
        return {
            f"{name}_shape": tree.map_structure(lambda x: None if x is None else closed(standardize_shape(x.shape)), value)
            for name, value in self.tensors.items()
            if name not in ("mask", "kwargs", "args")
        }

    def first_shape(self):
        """Build shapes of a layer whose ``build`` is the base's."""
        return {"input_shape": next(iter(self.shapes().values()), None)}


def _holds_tensors(name, value):
    if isinstance(value, Tensor):
        return True
    if not tree.is_nested(value) or not len(value):
        return False
    leaves = tree.flatten(value)
    tensors = sum(isinstance(x, Tensor) for x in leaves)
    if tensors and tensors + sum(x is None for x in leaves) < len(leaves) and name not in ("kwargs", "args"):
        raise ValueError(f"An argument of call() must not mix tensors and non-tensors within it, as {name}={value} does")
    return bool(tensors)


def _shapes_for(build, shapes, call, class_name):
    """Arguments for ``build`` or ``compute_output_shape``: the first shape if it takes one, else those that it names."""
    names = [p.name for p in inspect.signature(build).parameters.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if len(names) == 1:
        return {names[0]: next(iter(shapes.values()), None)}
    for name in names:
        if not name.endswith("_shape") or name.removesuffix("_shape") not in call.arguments:
            raise ValueError(
                "A `build()` with several arguments names them as `call()` does, each with a `_shape` suffix. "
                f"'{class_name}.build()' has `{name}`."
            )
    return {name: shapes[name] for name in names if name in shapes}


def _wrapped_build(build):
    """``build`` in the layer's name scope; afterwards the layer is built, knows its path and takes no more variables."""
    if getattr(build, "_is_default", False) or getattr(build, "_wrapped", False):
        return build
    signature = inspect.signature(build)

    @functools.wraps(build)
    def wrapper(self, *args, **kwargs):
        if self.__dict__.get("_building"):  # a subclass's build calls its parent's
            return build(self, *args, **kwargs)
        with name_scope(self.name, caller=self), setting(tracking=True):
            object.__setattr__(self, "_path", current_path())
            object.__setattr__(self, "_building", True)
            try:
                build(self, *args, **kwargs)
            finally:
                object.__setattr__(self, "_building", False)
        arguments = dict(signature.bind(self, *args, **kwargs).arguments)
        arguments.pop(next(iter(signature.parameters)))
        self._finish_build(arguments)

    wrapper._wrapped = True
    return wrapper


def _losses_by_layer(scope):
    """The losses that a StatelessScope collects, by the id of the layer that added them."""
    return scope.__dict__.setdefault("losses_by_layer", {})


def _by_place(args, **named):
    """``add_weight``'s arguments that may come by place, or by name. The layers of Keras 2 gave the name first."""
    if args and isinstance(args[0], str):
        raise ValueError(f"`name` must be passed as a keyword argument, not first. Received: add_weight('{args[0]}', ...).")
    if len(args) > len(named):
        raise TypeError(f"add_weight() takes {', '.join(named)} by place, all else by name. Received {len(args)} arguments by place.")
    for name, value in zip(named, args, strict=False):
        if named[name] is not None:
            raise ValueError(f"add_weight() got `{name}` twice: {value!r} by place and {named[name]!r} by name.")
        named[name] = value
    return named.values()


def _unique(objects):
    return list({id(x): x for x in objects}.values())


def _mask_of(x):
    return getattr(x, "_keras_mask", None)


def as_shape(shape):
    """Lists from JSON as the tuples that shapes are."""
    if isinstance(shape, dict):
        return {key: as_shape(value) for key, value in shape.items()}
    if isinstance(shape, (list, tuple)):
        if all(n is None or isinstance(n, int) for n in shape):
            return tuple(shape)
        return type(shape)(as_shape(s) for s in shape)
    return shape


def _specs(shape, dtype):
    """KerasTensors for a structure of shapes."""
    return None if shape is None else tree.map_shape_structure(lambda s: KerasTensor(s, dtype), shape)


def _brief(x):
    if isinstance(x, Tensor):
        return f"{x.dtype}{list(x.shape)}"
    if isinstance(x, (list, tuple)):
        return "[" + ", ".join(map(_brief, x)) + "]"
    if isinstance(x, dict):
        return "{" + ", ".join(f"{k}: {_brief(v)}" for k, v in x.items()) + "}"
    return repr(x)[:60] if not hasattr(x, "shape") else f"{type(x).__name__}{list(x.shape)}"
