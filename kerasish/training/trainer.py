"""Trainer: what makes a model of a layer: ``compile``, ``fit``, ``evaluate`` and ``predict``."""

import contextlib
import functools
import inspect
import warnings

import kerasish.config as config
from kerasish import ops, optimizers, tree
from kerasish.backend.arrays import active
from kerasish.backend.autodiff.dtypes import is_float
from kerasish.backend.autodiff.gradient import gradients, no_grad
from kerasish.backend.autodiff.scopes import StatelessScope
from kerasish.backend.autodiff.tensor import KerasTensor, NoValueError
from kerasish.backend.autodiff.variable import initialize_all_variables
from kerasish.callbacks.callback_list import pythonify_logs
from kerasish.data import Epochs, as_batches, pack_x_y_sample_weight, train_validation_split, unpack_x_y_sample_weight
from kerasish.data.arrays import ArrayBatches
from kerasish.data.batches import as_batch, with_class_weight
from kerasish.metrics.reduction import Mean
from kerasish.saveable import deserialize_keras_object, serialize_keras_object
from kerasish.tracking import no_tracking
from kerasish.training.compiled import CompileLoss, CompileMetrics
from kerasish.training.loop import Outputs, callback_list, run_epoch
from kerasish.training.step import as_tensors, is_own_step, on_iterator, step_of


class Trainer:
    """The part of :class:`kerasish.Model` that trains it (``keras.Model``'s methods of these names).

    What happens to a batch stands in ``train_step``, ``test_step`` and ``predict_step``, which a subclass may override: with a
    GradientTape or ``loss.backward()`` as ``train_step(self, data)``, or as the pure ``train_step(self, state, data)`` that
    Keras has on JAX.

    >>> from kerasish import Sequential, layers
    >>> model = Sequential([layers.Input((2,)), layers.Dense(1)])
    >>> model.compile("sgd", loss="mse", metrics=["mae"])
    >>> x, y = ops.ones((8, 2)), ops.ones((8, 1))
    >>> sorted(model.fit(x, y, epochs=3, verbose=0).history)
    ['loss', 'mae']
    >>> model.predict(x, verbose=0).shape
    (8, 1)
    """

    optimizer = loss = history = None
    train_function = test_function = predict_function = None
    steps_per_execution = 1
    _run_eagerly = False
    stop_training = stop_evaluating = stop_predicting = False
    _compile_loss = _compile_metrics = _loss_tracker = _compile_config = None
    _compiled_trainable_state = _jit_compile = _train_epochs = _eval_epochs = None
    _unrecorded = frozenset({
        "stop_training", "stop_evaluating", "stop_predicting", "history", "train_function", "test_function", "predict_function",
        "_train_epochs", "_eval_epochs", "_initial_epoch", "_resumed_logs", "_compiled_trainable_state",
    })  # fmt: skip
    _initial_epoch = _resumed_logs = None  # where to begin, if a callback knows better than `fit`, and the logs there

    def __init__(self):
        self.compiled = False

    # ---- compile
    def compile(self, optimizer="rmsprop", loss=None, loss_weights=None, metrics=None, weighted_metrics=None, run_eagerly=False,
                steps_per_execution=1, jit_compile="auto", auto_scale_loss=True):  # fmt: skip
        """Say how the model is trained: optimizer, losses and metrics, each a name, an object or a function.

        With several outputs, ``loss``, ``loss_weights``, ``metrics`` and ``weighted_metrics`` are lists or dicts by output name.
        ``weighted_metrics`` take sample weights into account. ``steps_per_execution`` batches go by between calls of callbacks.
        ``jit_compile`` lets steps be recorded and replayed, ``run_eagerly`` never does. ``auto_scale_loss`` keeps float16
        gradients from underflow.
        """
        if not isinstance(steps_per_execution, int) or steps_per_execution < 1:
            raise ValueError(f"`steps_per_execution` must be a positive integer. Received: {steps_per_execution!r}")
        given = optimizers.get(optimizer)
        names = getattr(self, "output_names", None)
        has_metrics = metrics is not None or weighted_metrics is not None
        made = {
            "optimizer": self._with_loss_scale(given) if auto_scale_loss else given,
            "loss": loss,
            "_compile_loss": None if loss is None else CompileLoss(loss, loss_weights, output_names=names),
            "_compile_metrics": CompileMetrics(metrics, weighted_metrics, output_names=names) if has_metrics else None,
            "_loss_tracker": Mean(name="loss"),
            "_compiled_trainable_state": self._trainable_state(),
            "run_eagerly": run_eagerly,
            "steps_per_execution": steps_per_execution,
            "jit_compile": self._resolve_jit(jit_compile, run_eagerly),
            "train_function": None, "test_function": None, "predict_function": None, "stop_training": False,
        }  # fmt: skip
        with no_tracking():  # what is compiled belongs to the training, not to the model's layers and weights
            for name, value in made.items():
                setattr(self, name, value)
            self._compile_config = {
                "optimizer": given, "loss": loss, "loss_weights": loss_weights, "metrics": metrics,
                "weighted_metrics": weighted_metrics, "run_eagerly": run_eagerly, "steps_per_execution": steps_per_execution,
                "jit_compile": self.jit_compile,
            }  # fmt: skip
            self.compiled = True

    def _with_loss_scale(self, optimizer):
        if optimizer is None or self.dtype_policy.name != "mixed_float16" or isinstance(optimizer, optimizers.LossScaleOptimizer):
            return optimizer
        return optimizers.LossScaleOptimizer(optimizer, name="loss_scale_optimizer")

    def _resolve_jit(self, jit_compile, run_eagerly):
        if jit_compile == "auto":
            return not run_eagerly and self._supports_jit()
        if jit_compile and run_eagerly:
            warnings.warn("With `run_eagerly=True`, `jit_compile` cannot also be True: it is turned off.", stacklevel=3)
            return False
        return jit_compile

    def _supports_jit(self):
        return all(layer.supports_jit for layer in self._flatten_layers())

    def _forget_functions(self):
        """Steps are made anew, in the way that is asked for now."""
        self.train_function = self.test_function = self.predict_function = None

    @property
    def run_eagerly(self):
        """Whether steps run op by op, never recorded; may be set at any time."""
        return self._run_eagerly

    @run_eagerly.setter
    def run_eagerly(self, value):
        self._run_eagerly = value
        self._forget_functions()

    @property
    def jit_compile(self):
        """Whether steps may be recorded and replayed."""
        return self._supports_jit() if self._jit_compile is None else self._jit_compile

    @jit_compile.setter
    def jit_compile(self, value):
        if value and not self._supports_jit():
            warnings.warn("This model doesn't support `jit_compile=True`: it is turned off.", stacklevel=2)
            value = False
        self._jit_compile = value
        self._forget_functions()

    def get_compile_config(self):
        """The arguments of ``compile`` as JSON-ready values; empty for a model that is not compiled."""
        if not self.compiled or self._compile_config is None:
            return {}
        return {name: serialize_keras_object(value) for name, value in self._compile_config.items()}

    def compile_from_config(self, config):
        """Compile with what ``get_compile_config`` gave."""
        if type(self).compile is not Trainer.compile:
            warnings.warn(
                "`compile()` was not called as part of model loading because the model's `compile()` method is custom. Override "
                "`get_compile_config()` and `compile_from_config(config)` too, or call `compile()` after loading.",
                stacklevel=2,
            )
            return
        self.compile(**deserialize_keras_object(config))
        if self.optimizer is not None and self.built:
            self.optimizer.build(self.trainable_variables)

    def _trainable_state(self):
        return [(layer, layer.trainable) for layer in self._flatten_layers()]

    def _assert_compile_called(self):
        if not self.compiled:
            raise ValueError("You must call `compile()` before using the model.")
        if self._compiled_trainable_state is None:  # a subclass with a `compile` of its own
            return
        before = {id(layer): trainable for layer, trainable in self._compiled_trainable_state}
        changed = [layer.name for layer, trainable in self._trainable_state() if before.get(id(layer), trainable) != trainable]
        if changed:
            warnings.warn(
                "A layer's `trainable` state has changed after `compile()`. The optimizer may not know all variables that can "
                f"be trained now: call `model.compile(...)` again before `fit()`. Changed layers: {changed}",
                stacklevel=3,
            )
            with no_tracking():
                self._compiled_trainable_state = self._trainable_state()

    # ---- metrics
    @property
    def metrics(self):
        """The loss's mean, the compiled metrics, each output's loss, own metrics, and those of the layers inside."""
        found = [self._loss_tracker, self._compile_metrics] if self.compiled else []
        if self.compiled and self._compile_loss is not None:
            found += self._compile_loss.metrics
        found += self._metrics
        for layer in self._flatten_layers(include_self=False):
            if not isinstance(layer, Trainer):
                found += layer._metrics
        return list({id(metric): metric for metric in found if metric is not None}.values())

    @property
    def metrics_names(self):
        """Names of ``metrics``."""
        return [metric.name for metric in self.metrics]

    def reset_metrics(self):
        """Start all metrics anew."""
        for metric in self.metrics:
            metric.reset_state()

    def get_metrics_result(self):
        """All metrics' values by name."""
        out = {}
        for metric in self.metrics:
            result = metric.result()
            out.update(result if isinstance(result, dict) else {metric.name: result})
        return out

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Update the compiled metrics with a batch and return all metrics' values; override it to update others."""
        if self._compile_metrics is not None:
            self._compile_metrics.update_state(y, y_pred, sample_weight)
        return self.get_metrics_result()

    # ---- the loss
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The total loss of a batch: the compiled losses, those that layers added, and regularization. May be overridden."""
        parts = []
        if self._compile_loss is not None:
            parts.append(self._compile_loss(y, y_pred, sample_weight))
        parts += [ops.sum(part if is_float(part.dtype) else ops.cast(part, config.floatx())) for part in self.losses]
        parts = [part for part in parts if part is not None]
        if not parts and training:
            raise ValueError("No loss to compute: `compile()` was given no `loss`.")
        return functools.reduce(ops.add, parts) if parts else ops.zeros(())

    def _compute_loss(self, x, y, y_pred, sample_weight, training):
        """``compute_loss``, whose overrides need not take ``training``."""
        kwargs = {"training": training} if _takes_training(type(self).compute_loss) else {}
        return self.compute_loss(x, y, y_pred, sample_weight, **kwargs)

    def stateless_compute_loss(self, trainable_variables, non_trainable_variables, metrics_variables, x=None, y=None, y_pred=None,
                               sample_weight=None, training=True):  # fmt: skip
        """``compute_loss`` with the given values in place of the variables: ``(loss, the three lists of values)``."""
        values = (trainable_variables, non_trainable_variables, metrics_variables)
        own = (self.trainable_variables, self.non_trainable_variables, self.metrics_variables)
        mapping = [pair for variables, given in zip(own, values, strict=True) for pair in zip(variables, given, strict=True)]
        with StatelessScope(state_mapping=mapping) as scope:
            loss = self._compute_loss(x, y, y_pred, sample_weight, training)
        changed = [[scope.get_current_value(v) for v in variables] for variables in own[1:]]
        return loss, (trainable_variables, *changed)

    def _track_loss(self, loss, x):
        rows = next(leaf for leaf in tree.flatten(x) if leaf is not None).shape[0]
        self._loss_tracker.update_state(loss, sample_weight=rows)

    # ---- one batch
    def train_step(self, data):
        """Train on one batch ``(x, y, sample_weight)`` and return the metrics; override it for other ways to train."""
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        y_pred = self(x, training=True)
        loss = self._compute_loss(x, y, y_pred, sample_weight, training=True)
        weights = self.trainable_weights
        if weights and self.optimizer is not None:
            slopes = gradients(self.optimizer.scale_loss(loss), weights)
            self.optimizer.apply(slopes, weights)
        else:
            warnings.warn("The model does not have any trainable weights, or no optimizer: nothing is trained.", stacklevel=2)
        with no_grad():
            self._track_loss(loss, x)
            return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def test_step(self, data):
        """Evaluate one batch ``(x, y, sample_weight)`` and return the metrics."""
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        y_pred = self(x, training=False)
        self._track_loss(self._compute_loss(x, y, y_pred, sample_weight, training=False), x)
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def predict_step(self, data):
        """The outputs for one batch."""
        x, _, _ = unpack_x_y_sample_weight(data)
        return self(x, training=False)

    def zero_grad(self):
        """Forget what ``backward`` has added up for the trainable variables, for a ``train_step`` in PyTorch's style."""
        for variable in self.trainable_variables:
            variable.grad = None

    def make_train_function(self, force=False):
        """The function that ``fit`` calls with an iterator of ``steps_per_execution`` batches; it returns logs."""
        if self.train_function is None or force:
            self.train_function = on_iterator(step_of(self, "train_step"))
        return self.train_function

    def make_test_function(self, force=False):
        """The function that ``evaluate`` calls with an iterator of batches; it returns logs."""
        if self.test_function is None or force:
            self.test_function = on_iterator(step_of(self, "test_step"))
        return self.test_function

    def make_predict_function(self, force=False):
        """The function that ``predict`` calls with an iterator of batches; it returns their outputs, joined."""
        if self.predict_function is None or force:
            step = step_of(self, "predict_step")

            def function(iterator):
                batches = [step(batch) for batch in iterator]
                return batches[0] if len(batches) == 1 else tree.map_structure(lambda *ys: ops.concatenate(ys), *batches)

            self.predict_function = function
        return self.predict_function

    # ---- building
    def _is_unbuilt(self, *parts):
        return not all(layer.built for layer in self._flatten_layers()) or any(p is not None and not p.built for p in parts)

    def _symbolic_build(self, data_batch=None, peek=None, step="train_step"):
        """Build layers, losses, metrics and optimizer, where they are not, for the shapes of a batch; ``peek()`` gives one."""
        if self._is_unbuilt(self._compile_loss, self._compile_metrics):
            try:
                self._build_all_for(as_batch(peek() if data_batch is None else data_batch))
            except Exception:
                if not is_own_step(self, step, Trainer):
                    raise
                initialize_all_variables()  # of what was built; a step of one's own builds the rest in its own way
        if self.optimizer is not None and not self.optimizer.built and not self._is_unbuilt():
            self.optimizer.build(self.trainable_variables)
        self._post_build()

    def _build_all_for(self, batch):
        x, y, weights = unpack_x_y_sample_weight(batch)
        y_pred = self._outputs_like(x)
        x, y, weights = (tree.map_structure(_spec, part, none_is_leaf=False) for part in (x, y, weights))
        if self._compile_metrics is not None and not self._compile_metrics.built:
            self._compile_metrics.build(y, y_pred)
        if self._compile_loss is not None and not self._compile_loss.built:
            if type(self).compute_loss is Trainer.compute_loss:
                self._compile_loss.build(y, y_pred)
            else:  # which may hand other structures on than it is given
                with StatelessScope(), no_grad():
                    self._compute_loss(x, y, y_pred, weights, training=True)

    def _outputs_like(self, x):
        """The outputs for data like ``x``, without values, after building what is not built."""
        try:
            return self.compute_output_spec(tree.map_structure(_spec, x, none_is_leaf=False), training=False)
        except NoValueError:  # `call` looks at values: let it have them, and keep all state as it is
            with StatelessScope(), no_grad():
                y_pred = self(as_tensors(x), training=False)
            initialize_all_variables()
            return y_pred

    def _check_targets(self, batches):
        """ValueError now, not after an epoch, where arrays to validate on don't fit the model or its losses."""
        if isinstance(batches, ArrayBatches) and self._compile_loss is not None and not is_own_step(self, "test_step", Trainer):
            x, y, _ = unpack_x_y_sample_weight(batches.peek())
            self._compile_loss.align(y, self._outputs_like(x))

    # ---- many batches
    def fit(self, x=None, y=None, batch_size=None, epochs=1, verbose="auto", callbacks=None, validation_split=0.0,
            validation_data=None, shuffle=True, class_weight=None, sample_weight=None, initial_epoch=0, steps_per_epoch=None,
            validation_steps=None, validation_batch_size=None, validation_freq=1):  # fmt: skip
        """Train for ``epochs`` passes over the data, or ``steps_per_epoch`` batches each, and return the :class:`History`.

        ``x`` and ``y``: arrays, tensors, data frames, HDF5 datasets, or structures of them; or ``x`` alone: a PyDataset, a
        generator, a DataLoader or a tf.data.Dataset of ``(x, y)`` or ``(x, y, sample_weight)``. ``validation_data`` (the same,
        as a tuple) or the last ``validation_split`` of the arrays are evaluated every ``validation_freq`` epochs.
        ``shuffle`` mixes arrays anew each epoch. ``class_weight`` maps class to weight. ``verbose``: 0, 1 (a bar), 2 (a line).
        """
        self._assert_compile_called()
        epochs = _capped(epochs)
        if validation_split and validation_data is None:
            (x, y, sample_weight), validation_data = train_validation_split((x, y, sample_weight), validation_split)
        data = as_batches(x, y, sample_weight, batch_size, steps_per_epoch, shuffle, class_weight)
        validation = None if validation_data is None else dict(
            zip(("x", "y", "sample_weight"), unpack_x_y_sample_weight(validation_data), strict=True),
            batch_size=validation_batch_size or batch_size, steps=validation_steps,
        )  # fmt: skip
        if validation is not None:
            _check_validation_freq(validation_freq)
        with contextlib.ExitStack() as stack:
            stack.enter_context(active.xp.beside(self._held_arrays()))
            stack.callback(self._forget_epochs)
            steps = self._train_epochs = stack.enter_context(contextlib.closing(Epochs(data, steps_per_epoch, self.steps_per_execution)))
            if validation is not None:
                self._eval_epochs = stack.enter_context(contextlib.closing(self._epochs(**validation)))
            self._symbolic_build(peek=data.peek)
            if validation is not None:
                self._check_targets(self._eval_epochs.batches)
            callbacks = stack.enter_context(callback_list(callbacks, self, steps, verbose, epochs, history=True))
            self.stop_training = False
            logs = self._train(steps, callbacks, initial_epoch, epochs, validation, validation_freq)
            callbacks.on_train_end(logs)
        return self.history

    def _train(self, steps, callbacks, initial_epoch, epochs, validation, validation_freq):
        """All epochs; the last one's logs."""
        function = self.make_train_function() or self.train_function
        callbacks.on_train_begin()
        logs = self._resumed_logs or {}
        try:
            for epoch in range(self._initial_epoch or initial_epoch, epochs):
                if steps.exhausted():
                    warnings.warn(f"Your input ran out of data after {epoch} epochs; interrupting training.", stacklevel=3)
                    break
                self.reset_metrics()
                callbacks.on_epoch_begin(epoch)
                logs = run_epoch(steps, function, callbacks.on_train_batch_begin, callbacks.on_train_batch_end, lambda: self.stop_training)
                if logs is None and steps.first_step:  # the training goes on behind the last batch of this epoch
                    logs = self._resumed_logs or self.get_metrics_result()
                logs = dict(self._get_metrics_result_or_logs(_checked_logs(logs, "train_step")))
                if validation is not None and _is_due(epoch, validation_freq):
                    logs.update(self._validate(validation, callbacks))
                callbacks.on_epoch_end(epoch, logs)
                if self.stop_training:
                    break
        finally:
            if epochs > 0 and isinstance(self.optimizer, optimizers.Optimizer) and self.optimizer.built:
                self.optimizer.finalize_variable_values(self.trainable_weights)
        return logs

    def _forget_epochs(self):
        self._train_epochs = self._eval_epochs = self._initial_epoch = self._resumed_logs = None

    def _validate(self, validation, callbacks):
        if self._eval_epochs.exhausted():
            warnings.warn("Your validation data ran out; going on without.", stacklevel=4)
            return {}
        logs = self.evaluate(**validation, callbacks=callbacks, return_dict=True, _use_cached_eval_dataset=True)
        return {f"val_{name}": value for name, value in logs.items()}

    def evaluate(self, x=None, y=None, batch_size=None, verbose="auto", sample_weight=None, steps=None, callbacks=None,
                 return_dict=False, **kwargs):  # fmt: skip
        """The loss and metrics on data (see :meth:`fit`): a dict with ``return_dict``, else a list, or a number where there is
        only the loss. ``steps``: batches to take, by default all.
        """
        self._assert_compile_called()
        cached = kwargs.pop("_use_cached_eval_dataset", False)
        if kwargs:
            raise ValueError(f"Arguments not recognized: {kwargs}")
        epochs = self._eval_epochs if cached else self._epochs(x, y, sample_weight, batch_size, steps)
        with contextlib.ExitStack() as stack:
            stack.enter_context(active.xp.beside(self._held_arrays()))
            stack.callback(epochs.end_pass if cached else epochs.close)
            self._symbolic_build(peek=epochs.batches.peek, step="test_step")
            with callback_list(callbacks, self, epochs, verbose) as callbacks:
                function = self.make_test_function() or self.test_function
                self.stop_evaluating = False
                callbacks.on_test_begin()
                self.reset_metrics()
                logs = run_epoch(epochs, function, callbacks.on_test_batch_begin, callbacks.on_test_batch_end, lambda: self.stop_evaluating)
                logs = pythonify_logs(self._get_metrics_result_or_logs(_checked_logs(logs, "test_step")))
                callbacks.on_test_end(logs)
        return logs if return_dict else self._flatten_metrics_in_order(logs)

    def predict(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None):
        """The outputs for data (see :meth:`fit`), batch after batch, joined as NumPy arrays in the outputs' structure."""
        epochs = self._epochs(x, batch_size=batch_size, steps=steps)
        outputs = Outputs()
        with active.xp.beside(self._held_arrays()), contextlib.closing(epochs):
            if self._is_unbuilt() and not is_own_step(self, "predict_step", Trainer):
                self._outputs_like(unpack_x_y_sample_weight(epochs.batches.peek())[0])
            with callback_list(callbacks, self, epochs, verbose) as callbacks:
                function = self.make_predict_function() or self.predict_function

                def end(batch, y):
                    outputs.add(y)
                    callbacks.on_predict_batch_end(batch, {"outputs": y})

                self.stop_predicting = False
                callbacks.on_predict_begin()
                run_epoch(epochs, function, callbacks.on_predict_batch_begin, end, lambda: self.stop_predicting)
                callbacks.on_predict_end()
        return outputs.joined()

    def _held_arrays(self):
        """The variables' arrays: steps run on the device where they are."""
        for variable in self.variables:
            if variable._value is not None:
                yield variable._value.value

    def _epochs(self, x, y=None, sample_weight=None, batch_size=None, steps=None):
        return Epochs(as_batches(x, y, sample_weight, batch_size, steps), steps, self.steps_per_execution)

    # ---- one batch, from outside
    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, return_dict=False):
        """Train on one batch of arrays; the loss and metrics of this batch, as :meth:`evaluate` returns them."""
        batch = with_class_weight(pack_x_y_sample_weight(x, y, sample_weight), class_weight)
        return self._on_batch(batch, "train", return_dict)

    def test_on_batch(self, x, y=None, sample_weight=None, return_dict=False):
        """The loss and metrics of one batch of arrays, as :meth:`evaluate` returns them."""
        return self._on_batch(pack_x_y_sample_weight(x, y, sample_weight), "test", return_dict)

    def _on_batch(self, batch, kind, return_dict):
        self._assert_compile_called()
        self._symbolic_build(batch, step=f"{kind}_step")
        function = getattr(self, f"make_{kind}_function")() or getattr(self, f"{kind}_function")
        with active.xp.beside(self._held_arrays()):
            self.reset_metrics()
            logs = pythonify_logs(function(iter([batch])))
        return logs if return_dict else self._flatten_metrics_in_order(logs)

    def predict_on_batch(self, x):
        """The outputs for one batch of arrays, as NumPy arrays."""
        batch = pack_x_y_sample_weight(x)
        if self._is_unbuilt() and not is_own_step(self, "predict_step", Trainer):
            self._outputs_like(as_batch(x))
        outputs = Outputs()
        with active.xp.beside(self._held_arrays()):
            outputs.add((self.make_predict_function() or self.predict_function)(iter([batch])))
        return outputs.joined()

    def profile_step(self, x, y=None, sample_weight=None, steps=20):
        """Where the time of a training step on this batch goes, call by call: a :class:`~kerasish.backend.plan.profile.Profile`.

        Weights, optimizer and metrics are afterwards as they were before. ValueError where steps run eagerly.

        >>> from kerasish import Sequential, layers
        >>> model = Sequential([layers.Input((2,)), layers.Dense(1)])
        >>> model.compile("sgd", loss="mse")
        >>> profile = model.profile_step(ops.ones((8, 2)), ops.ones((8, 1)), steps=2)
        >>> "matmul" in str(profile)
        True
        """
        self._assert_compile_called()
        batch = pack_x_y_sample_weight(x, y, sample_weight)
        self._symbolic_build(batch)
        variables = [*self.variables, *([] if self.optimizer is None else self.optimizer.variables), *self.metrics_variables]
        before = [v.numpy() for v in variables]
        try:
            return step_of(self, "train_step").profile(batch, steps)
        finally:
            for variable, value in zip(variables, before, strict=True):
                variable.assign(value)

    # ---- logs
    def _get_metrics_result_or_logs(self, logs):
        """The metrics' values, unless a step of the user's own returned other logs."""
        results = self.get_metrics_result()
        return results if set(logs) == set(results) else logs

    def _flatten_metrics_in_order(self, logs):
        """Logs as a list in the order of the metrics, others behind; one alone as a number."""
        names = []
        for metric in self.metrics:
            names += [inner.name for inner in metric.metrics] if isinstance(metric, CompileMetrics) else [metric.name]
        values = [logs[name] for name in names if name in logs] + [logs[name] for name in sorted(logs) if name not in names]
        return values[0] if len(values) == 1 else values


@functools.lru_cache(maxsize=None)
def _takes_training(compute_loss):
    return "training" in inspect.signature(compute_loss).parameters


def _spec(x):
    return KerasTensor(x.shape, x.dtype)


def _capped(epochs):
    limit = config.max_epochs()
    if limit and limit < epochs:
        warnings.warn(f"Limiting epochs to {limit}", stacklevel=3)
        return limit
    return epochs


def _check_validation_freq(validation_freq):
    if not isinstance(validation_freq, (int, list, tuple, set)):
        raise ValueError(f"Expected `validation_freq` to be a list or int, got {validation_freq} ({type(validation_freq)}).")
    if isinstance(validation_freq, int) and validation_freq == 0:
        raise ValueError("`validation_freq` is the number of epochs between validations, or a list of epochs. Received: 0")


def _is_due(epoch, validation_freq):
    """Whether to validate after this epoch: each so many, or those that are listed, counted from 1."""
    return (epoch + 1) % validation_freq == 0 if isinstance(validation_freq, int) else epoch + 1 in validation_freq


def _checked_logs(logs, step):
    if not isinstance(logs, dict):
        raise ValueError(f"`{step}` must return a dict from names to values. Received: {logs!r}")
    return logs
