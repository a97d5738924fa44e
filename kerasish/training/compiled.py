"""What ``compile`` was given, for all outputs of a model: losses with their weights, and metrics.

Both are resolved when the first batch shows what the outputs and targets look like: names become objects, and structures
(one thing for all outputs, a list, a dict by output name, or anything nested as the outputs are) become one flat list.
"""

import dataclasses
import typing

from kerasish import config, losses, metrics, ops, tree
from kerasish.backend.autodiff.gradient import no_grad
from kerasish.backend.autodiff.state import name_scope, to_snake_case
from kerasish.losses.loss import LossFunctionWrapper
from kerasish.metrics.metric import Metric
from kerasish.metrics.reduction import MeanMetricWrapper
from kerasish.tracking import no_tracking

_CONTAINERS = (list, tuple)


# ---- names that mean one thing for yes or no, another for one of several classes, another for one-hot rows
_BY_TARGET = {
    "accuracy": (metrics.BinaryAccuracy, metrics.SparseCategoricalAccuracy, metrics.CategoricalAccuracy),
    "crossentropy": (metrics.BinaryCrossentropy, metrics.SparseCategoricalCrossentropy, metrics.CategoricalCrossentropy),
}
_BY_TARGET |= {"acc": _BY_TARGET["accuracy"], "ce": _BY_TARGET["crossentropy"]}
_CROSSENTROPIES = (losses.binary_crossentropy, losses.sparse_categorical_crossentropy, losses.categorical_crossentropy)


def _for_target(choices, y_true, y_pred):
    """The one of the three that fits the shapes of targets and outputs."""
    binary, sparse, one_hot = choices
    if y_true is None:
        raise ValueError("Target data is missing: accuracy and cross-entropy need it. Received y=None.")
    if y_pred.shape[-1] == 1:
        return binary
    return sparse if len(y_true.shape) < len(y_pred.shape) or y_true.shape[-1] == 1 else one_hot


def get_loss(identifier, y_true, y_pred):
    """A Loss from what a user may give as one, for targets and outputs of these shapes."""
    if isinstance(identifier, str) and identifier.lower() in ("crossentropy", "ce"):
        loss = _for_target(_CROSSENTROPIES, y_true, y_pred)
    else:
        loss = losses.get(identifier)
    if isinstance(loss, losses.Loss):
        return loss
    return LossFunctionWrapper(loss, name=identifier if isinstance(identifier, str) else _name_of(loss))


def get_metric(identifier, y_true, y_pred):
    """A Metric from what a user may give as one, for targets and outputs of these shapes; it is named as it was given."""
    if identifier is None:
        raise ValueError("Expected metric, received `None`")
    if isinstance(identifier, str) and identifier.lower() in _BY_TARGET:
        metric = _for_target(_BY_TARGET[identifier.lower()], y_true, y_pred)(name=identifier)
    else:
        metric = metrics.get(identifier)
    name = identifier if isinstance(identifier, str) else _name_of(metric)
    if not isinstance(metric, Metric):
        metric = MeanMetricWrapper(metric)
    metric.name = name
    return metric


def _name_of(x):
    return getattr(x, "name", None) or to_snake_case(getattr(x, "__name__", type(x).__name__))


def _resolve(path, structure):
    for key in path:
        structure = structure[key]
    return structure


def _same_structure(a, b):
    try:
        tree.assert_same_structure(a, b)
    except ValueError:
        return False
    return True


def _stars(structure):
    return tree.map_structure(lambda _: "*", structure)


# ---- losses
class _Part(typing.NamedTuple):
    """One loss of one output: where targets and output stand in their structures."""

    path: tuple
    loss: object
    weight: object
    name: str


class CompileLoss:
    """The weighted sum of all outputs' losses, as ``compile(loss=..., loss_weights=...)`` says.

    ``output_names``: the model's, in the order of its flattened outputs. With several losses, ``metrics`` are the means of each
    (without its weight), named ``<output>_loss``.

    >>> loss = CompileLoss(["mse", "mae"], loss_weights=[1.0, 10.0], output_names=["a", "b"])
    >>> float(loss([ops.ones((2, 1)), ops.ones((2, 1))], [ops.zeros((2, 1)), ops.zeros((2, 1))]))
    11.0
    >>> [m.name for m in loss.metrics]
    ['a_loss', 'b_loss']
    """

    def __init__(self, loss, loss_weights=None, output_names=None):
        if loss_weights and not isinstance(loss_weights, (list, tuple, dict, float)):
            raise ValueError(
                f"`loss_weights` is a float for a single output, a list, tuple or dict for several, got {loss_weights} "
                f"({type(loss_weights)})"
            )
        for identifier in tree.flatten(loss):
            if isinstance(identifier, str) and identifier.lower() not in ("crossentropy", "ce"):
                losses.get(identifier)  # an unknown name is better told now than at the first batch
        self.loss, self.loss_weights, self.output_names = loss, loss_weights, output_names
        self.built, self.metrics = False, []
        self._parts, self._outputs = (), None

    @property
    def variables(self):
        """Variables of the losses' means."""
        return [v for metric in self.metrics for v in metric.variables]

    def __call__(self, y_true, y_pred, sample_weight=None):
        if tree.is_nested(y_true) or tree.is_nested(y_pred):
            y_true = self.align(y_true, y_pred)
            if tree.is_nested(sample_weight):
                sample_weight = self._by_name(sample_weight, y_pred)
                arranged = self._flat(sample_weight, y_pred)
                sample_weight = sample_weight if arranged is None else arranged
        elif isinstance(sample_weight, _CONTAINERS) and len(sample_weight) == 1:
            sample_weight = sample_weight[0]
        if not self.built:
            self._build(y_true, y_pred)
        elif not _same_structure(self._outputs, y_pred):
            y_true, y_pred = self._as_built(y_true), self._as_built(y_pred)
            sample_weight = self._as_built(sample_weight) if tree.is_nested(sample_weight) else sample_weight
        total = None
        with name_scope("compile_loss"):
            for part, mean in zip(self._parts, self.metrics or [None] * len(self._parts), strict=True):
                value = self._value(part, y_true, y_pred, sample_weight, mean)
                total = value if total is None else ops.add(total, value)
        return total

    def _as_built(self, structure):
        return tree.pack_sequence_as(self._outputs, tree.flatten(structure))

    def _value(self, part, y_true, y_pred, sample_weight, mean):
        y_true, y_pred = _resolve(part.path, y_true), _resolve(part.path, y_pred)
        if y_true is None:
            raise self._missing(part)
        if tree.is_nested(sample_weight):
            sample_weight = _resolve(part.path, sample_weight)
        value = ops.cast(part.loss(y_true, y_pred, sample_weight), config.floatx())
        if mean is not None:
            with no_grad():
                mean.update_state(value, sample_weight=tree.flatten(y_pred)[0].shape[0])
        return value if part.weight is None else ops.multiply(value, part.weight)

    def _missing(self, part=None):
        output = f" for the output {part.name!r}" if part and part.path else ""
        return ValueError(
            f"Target data is missing. Your model was compiled with loss={self.loss}, and therefore expects target data{output}. "
            "Received y=None."
        )

    # ---- targets in the structure of the outputs
    def align(self, y_true, y_pred):
        """The targets, nested as the outputs are. ValueError where they can't be."""
        if y_true is None:
            raise self._missing()
        y_true = self._by_name(y_true, y_pred)
        if not tree.is_nested(y_true) and not tree.is_nested(y_pred):
            return y_true
        if _same_structure(y_pred, y_true):
            return y_true
        for arrange in (self._flat, self._other_containers, self._for_outputs_with_loss):
            arranged = arrange(y_true, y_pred)
            if arranged is not None:
                return arranged
        raise ValueError(
            f"y_true and y_pred have different structures.\ny_true: {_stars(y_true)}\ny_pred: {_stars(y_pred)}\n"
            f"The model's outputs: {self.output_names}"
        )

    def _by_name(self, given, y_pred):
        """A dict by output name with an entry for each output, None for those left out; a list, where the outputs are one."""
        if not isinstance(given, dict):
            return given
        if isinstance(y_pred, dict) and set(given) <= set(y_pred):
            return {name: given.get(name) for name in y_pred}
        if isinstance(y_pred, _CONTAINERS) and set(given) <= set(self.output_names or ()):
            return [given.get(name) for name in self.output_names]
        return given

    def _flat(self, y_true, y_pred):
        """One target for the only output, or a plain list with one for each."""
        if not tree.is_nested(y_true):
            y_true = [y_true]
        outputs = len(tree.flatten(y_pred))
        if isinstance(y_true, _CONTAINERS) and len(y_true) == outputs and not any(map(tree.is_nested, y_true)):
            return tree.pack_sequence_as(y_pred, y_true)
        return None

    def _other_containers(self, y_true, y_pred):
        """The same nesting, with lists where the outputs have tuples or the like."""
        try:
            tree.assert_same_paths(y_true, y_pred)
        except ValueError:
            return None
        return tree.pack_sequence_as(y_pred, tree.flatten(y_true))

    def _for_outputs_with_loss(self, y_true, y_pred):
        """Targets only for those outputs that have a loss. KeyError where their number fits but a loss has no output."""
        outputs = [path for path, _ in tree.flatten_with_path(y_pred)]
        targets = [(path, target) for path, target in tree.flatten_with_path(y_true) if target is not None]
        loss = self._in_order_of_outputs(y_pred)[0]
        if isinstance(loss, _CONTAINERS) and len(tree.flatten(loss)) == len(outputs):
            loss = tree.pack_sequence_as(y_pred, tree.flatten(loss))
        wanted = [path for path, one in tree.flatten_with_path(loss) if one is not None]
        if len(targets) != len(wanted) or not tree.is_nested(loss):
            return None
        for path in wanted:
            if path not in outputs:
                raise _not_found(path)
        if isinstance(y_true, dict) and [path for path, _ in targets] != wanted:
            return None
        given = dict(zip(wanted, (target for _, target in targets), strict=True))
        return tree.pack_sequence_as(y_pred, [given.get(path) for path in outputs])

    # ---- one flat list of losses
    def build(self, y_true, y_pred):
        """Resolve names and structures for targets and outputs of these shapes."""
        if tree.is_nested(y_true) or tree.is_nested(y_pred):
            y_true = self.align(y_true, y_pred)
        self._build(y_true, y_pred)

    def _build(self, y_true, y_pred):
        if y_true is None:
            raise self._missing()
        loss, weights = self._in_order_of_outputs(y_pred)
        pairs = self._with_weights(loss, weights)
        if not tree.is_nested(pairs):
            single = pairs
            pairs = tree.map_structure(lambda _: single, y_pred)
        self._parts = tuple(self._parts_of(pairs, y_true, y_pred, self._names_like(y_pred), ()))
        if len(self._parts) > 1:
            self.metrics = [metrics.Mean(name=f"{part.name}_loss") for part in self._parts]
        self._outputs = _stars(y_pred)
        self.built = True

    def _in_order_of_outputs(self, y_pred):
        """Losses and weights given by output name as lists, where the outputs are no dict."""
        loss, weights = self.loss, self.loss_weights
        if not isinstance(loss, dict) or isinstance(y_pred, dict) or not self.output_names:
            return loss, weights
        if set(loss) != set(self.output_names):
            raise ValueError(f"Expected keys {self.output_names} in the dict of losses, got {list(loss)}")
        if isinstance(weights, dict):
            if missing := set(loss) - set(weights):
                raise KeyError(f"`loss_weights` has no weight for {sorted(missing)}. It has: {list(weights)}")
            weights = [weights[name] for name in self.output_names]
        return [loss[name] for name in self.output_names], weights

    @staticmethod
    def _with_weights(loss, weights):
        """Losses in their structure as pairs with their weights, which are no containers themselves."""
        if weights is None:
            flat = [None] * len(tree.flatten(loss))
        else:
            flat = tree.flatten(weights)
            if len(flat) != len(tree.flatten(loss)):
                raise ValueError(f"`loss_weights` must match the number of losses: {len(flat)} weights, {len(tree.flatten(loss))} losses.")
        pairs = [None if one is None else _Weighted(one, weight) for one, weight in zip(tree.flatten(loss), flat, strict=True)]
        return tree.pack_sequence_as(loss, pairs)

    def _names_like(self, y_pred):
        """Output names in the structure of the outputs, None where there are none."""
        names = self.output_names
        count = len(tree.flatten(y_pred))
        return tree.pack_sequence_as(y_pred, names if names and len(names) == count else [None] * count)

    def _parts_of(self, loss, y_true, y_pred, names, path):
        if loss is None:
            return
        if isinstance(loss, _CONTAINERS):
            flat = [one for one in loss if not tree.is_nested(one)]
            if len(flat) == len(loss) == len(tree.flatten(y_pred)):
                loss = tree.pack_sequence_as(y_pred, flat)
            elif not isinstance(y_pred, type(loss)):  # several losses of one output
                for one in loss:
                    yield from self._parts_of(one, y_true, y_pred, names, path)
                return
        if loss is None:
            return
        if isinstance(loss, _Weighted):
            resolved = get_loss(loss.loss, y_true, y_pred)
            yield _Part(path, resolved, loss.weight, _part_name(path, names, resolved))
            return
        if not isinstance(loss, type(y_pred)):
            raise KeyError(f"`loss` has the path {path}, which can't be found in the model's output.")
        for key, one in loss.items() if isinstance(loss, dict) else enumerate(loss):
            if one is None:
                continue
            if not (_has(y_true, key) and _has(y_pred, key)):
                raise _not_found((*path, key))
            yield from self._parts_of(one, y_true[key], y_pred[key], names[key], (*path, key))


@dataclasses.dataclass
class _Weighted:
    """A loss and its weight as one leaf."""

    loss: object
    weight: object


def _not_found(path):
    return KeyError(f"The path: {path} in the `loss` argument, can't be found in either the model's output or `y_true`.")


def _has(structure, key):
    return key in structure if isinstance(structure, dict) else isinstance(structure, _CONTAINERS) and key < len(structure)


def _part_name(path, names, loss):
    """The output's name; outputs in dicts are named by their keys."""
    if not tree.is_nested(names):
        name = loss.name if names is None else names
        if not path:
            path = (name,)
        elif isinstance(path[-1], int):
            path = (*path[:-1], name)
    return "/".join(map(str, path)) or "_".join(map(str, names if isinstance(names, dict) else tree.flatten(names)))


# ---- metrics
class _OutputMetrics:
    """The metrics of one output. ``name``: the output's, None where there is only one."""

    def __init__(self, identifiers, y_true, y_pred, name):
        if not isinstance(identifiers, _CONTAINERS):
            identifiers = [identifiers]
        self.metrics, self.name = [get_metric(identifier, y_true, y_pred) for identifier in identifiers], name

    def update_state(self, *args):
        for metric in self.metrics:
            metric.update_state(*args)


class CompileMetrics(Metric):
    """All metrics of all outputs, as ``compile(metrics=..., weighted_metrics=...)`` says; the weighted ones take sample weights.

    ``result`` is a dict: a metric's name, with several outputs ``<output>_<metric>``; names that are taken get ``weighted_`` in
    front or a number behind.

    >>> accuracy = CompileMetrics(["accuracy"], None)
    >>> accuracy.update_state(ops.convert_to_tensor([1, 0]), ops.convert_to_tensor([[0.2, 0.8], [0.3, 0.7]]))
    >>> float(accuracy.result()["accuracy"])
    0.5
    """

    fields: typing.ClassVar[dict] = {}

    def __init__(self, metrics, weighted_metrics, name="compile_metrics", output_names=None):
        super().__init__(name=name)
        for argument, value in (("metrics", metrics), ("weighted_metrics", weighted_metrics)):
            if value and not isinstance(value, (list, tuple, dict)):
                raise ValueError(f"`{argument}` takes a list, tuple or dict, got {value} ({type(value)})")
        with no_tracking():
            self.given = {"metrics": metrics, "weighted_metrics": weighted_metrics}
            self.output_names, self.built = output_names, False
            self._plain = self._weighted = ()
            self._order = None

    @property
    def metrics(self):
        """The metrics, once they are resolved."""
        return [metric for output in (*self._plain, *self._weighted) if output for metric in output.metrics]

    @property
    def variables(self):
        return [v for metric in self.metrics for v in metric.variables]

    def build(self, y_true, y_pred):
        """Resolve names and structures for targets and outputs of these shapes."""
        outputs = len(tree.flatten(y_pred))
        is_flat = tree.is_nested(y_pred) and len(y_pred) == outputs
        names = self.output_names
        if is_flat and isinstance(y_pred, dict) and set(names or ()) != set(y_pred):
            names = list(y_pred) if type(y_pred) is not dict else sorted(y_pred)
        order = names if is_flat and outputs > 1 else None
        with no_tracking():
            self._order = order  # before targets are brought into it
        resolved = [self._resolved(argument, given, names, y_true, y_pred, is_flat) for argument, given in self.given.items()]
        with no_tracking():
            self._plain, self._weighted = resolved
            self.built = True

    def _resolved(self, argument, given, names, y_true, y_pred, is_flat):
        """For each output its metrics, or None."""
        outputs = len(tree.flatten(y_pred))
        if not given:
            return [None] * outputs
        if outputs == 1:
            return [_OutputMetrics(tree.flatten(given), tree.flatten(y_true)[0], tree.flatten(y_pred)[0], None)]
        try:
            flat = self._one_for_each(given, names, outputs) if is_flat else None
            if flat is not None:
                targets, predictions = self._flatten(y_true), self._flatten(y_pred)
                rows = zip(flat, targets, predictions, names or [None] * outputs, strict=True)
                return [None if row[0] is None else _OutputMetrics(*row) for row in rows]
            return self._nested(given, names, y_true, y_pred)
        except (ValueError, TypeError) as error:
            named = f"either be a dict by, or a list along, the outputs {names} or " if names else ""
            raise ValueError(
                f"{error}\nInvalid `{argument}`: it holds metrics, and should {named}have the structure of the output: "
                f"{_stars(y_pred)}.\nReceived: {argument}={given}"
            ) from error

    @staticmethod
    def _one_for_each(given, names, outputs):
        """A list, or a dict by output name, as a list with one entry for each output; None where it is neither."""
        if isinstance(given, _CONTAINERS) and len(given) == outputs:
            return given
        if isinstance(given, dict) and names and set(given) <= set(names):
            return [given.get(name) for name in names]
        return None

    @staticmethod
    def _nested(given, names, y_true, y_pred):
        """Metrics nested as the outputs are."""
        outputs = tree.lists_to_tuples(y_pred)
        places = tree.pack_sequence_as(outputs, range(len(tree.flatten(outputs))))
        names, targets = names or [None] * len(tree.flatten(outputs)), tree.lists_to_tuples(y_true)
        rows = []
        tree.map_structure_up_to(outputs, lambda *row: rows.append(row), tree.lists_to_tuples(given), targets, outputs, places)
        return [None if one is None else _OutputMetrics(one, y, p, names[place]) for one, y, p, place in rows]

    def _flatten(self, structure):
        if isinstance(structure, dict) and self._order is not None:
            return [structure[name] for name in self._order]
        return tree.flatten(structure)

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Take a batch in."""
        if not self.built:
            self.build(y_true, y_pred)
        if not self.metrics:
            return
        targets, predictions = self._flatten(y_true), self._flatten(y_pred)
        weights = [None] if sample_weight is None else self._flatten(sample_weight)
        if len(weights) < len(targets):
            weights = [weights[0]] * len(targets)
        plain = zip(self._plain, targets, predictions, strict=False)
        for output, *batch in (*plain, *zip(self._weighted, targets, predictions, weights, strict=False)):
            if output:
                output.update_state(*batch)

    def reset_state(self):
        """Start anew."""
        for metric in self.metrics:
            metric.reset_state()

    def result(self):
        """All metrics by name."""
        if not self.built:
            raise ValueError("There is no result() of a metric that has not yet been built.")
        out, taken = {}, {}
        for outputs, weighted in ((self._plain, False), (self._weighted, True)):
            for output in filter(None, outputs):
                for metric in output.metrics:
                    prefix = f"{output.name}_" if output.name else ""
                    name = f"{prefix}{metric.name}"
                    if weighted and name in taken:
                        name = f"{prefix}weighted_{metric.name}"
                    taken[name] = taken.get(name, 0) + 1
                    out[name if taken[name] == 1 else f"{name}_{taken[name] - 1}"] = metric.result()
        return out
