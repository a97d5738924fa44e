"""FeatureSpace: a table's columns, each prepared as its type wants it, as one vector or a dict (``keras.utils``)."""


from kerasish import ops, saving, tree
from kerasish.backend.autodiff.op import as_tensor
from kerasish.backend.autodiff.state import auto_name
from kerasish.layers.core import Input
from kerasish.layers.layer import Layer
from kerasish.layers.preprocessing.encoding import CategoryEncoding
from kerasish.layers.preprocessing.hashing import HashedCrossing, Hashing
from kerasish.layers.preprocessing.lookup import IntegerLookup, StringLookup
from kerasish.layers.preprocessing.numerical import Discretization, Normalization
from kerasish.layers.preprocessing.scaling import Rescaling
from kerasish.layers.preprocessing.strings import read
from kerasish.layers.preprocessing.text import TextVectorization
from kerasish.saveable import Saveable, deserialize_keras_object, serialize_keras_object

_MODULE = "keras.src.layers.preprocessing.feature_space"  # what Keras does not export goes by its own module in files
_BATCH = 32  # how many values of an array a preprocessor sees at once while it adapts, as in Keras
_CATEGORIES = {  # how many values each layer that gives integers can give
    IntegerLookup: lambda layer: layer.vocabulary_size(),
    StringLookup: lambda layer: layer.vocabulary_size(),
    CategoryEncoding: lambda layer: layer.num_tokens,
    Discretization: lambda layer: layer.num_bins,
    HashedCrossing: lambda layer: layer.num_bins,
    Hashing: lambda layer: layer.num_bins,
}


def _check_mode(output_mode, allowed):
    if output_mode not in allowed:
        raise ValueError(f"Invalid value for argument `output_mode`. Expected one of {allowed}, got {output_mode}")


class Cross(Saveable):
    """Which features are crossed, and into how many bins. ``output_mode``: "int" or "one_hot"."""

    keras_module = _MODULE
    feature_names: tuple
    crossing_dim: int
    output_mode: str = "one_hot"

    def check(self):
        _check_mode(self.output_mode, ("int", "one_hot"))
        self.feature_names = tuple(self.feature_names)

    name = property(lambda self: "_X_".join(self.feature_names))


class Feature(Saveable):
    """One column: the dtype of its values, the layer that prepares them, and "int", "one_hot" or "float"."""

    keras_module = _MODULE
    saves_parts = False  # files keep the preprocessor's state as the FeatureSpace's own
    dtype: str
    preprocessor: object
    output_mode: str

    def check(self):
        _check_mode(self.output_mode, ("int", "one_hot", "float"))
        if isinstance(self.preprocessor, dict):
            self.preprocessor = deserialize_keras_object(self.preprocessor)


class TFDIdentity(Layer):
    """The preprocessor of plain floats. The name is the one in Keras's files."""

    keras_module = _MODULE

    def __init__(self, **kwargs):
        super().__init__(**kwargs)

    def call(self, x):
        return x


class TFDConcat(Layer):
    """All features as one vector. The name is the one in Keras's files."""

    keras_module = _MODULE
    axis: int

    def call(self, xs):
        return ops.concatenate(xs, axis=self.axis)


class FeatureSpace(Layer):
    """Columns of a table prepared by type, as one vector ("concat") or a "dict" (``keras.utils.FeatureSpace``).

    ``features``: ``{name: type}``, where a type is a name such as "float_normalized" or made by a method of that name, which also has
    options. ``crosses``: groups of names that are hashed together. After ``adapt(dict of arrays)`` it is called on a dict of values or
    of arrays; ``get_inputs()`` and ``get_encoded_features()`` are for Functional models.

    >>> space = FeatureSpace({"size": "float_normalized", "kind": "string_categorical"})
    >>> data = {"size": [1.0, 3.0], "kind": ["a", "b"]}
    >>> space.adapt(data)
    >>> space(data).tolist()
    [[0.0, 0.0, 1.0, -1.0], [0.0, 1.0, 0.0, 1.0]]
    """

    keras_module = "keras.utils"
    locks_state = False

    # ---- the types of features
    @classmethod
    def cross(cls, feature_names, crossing_dim, output_mode="one_hot"):
        """Features that are hashed together into ``crossing_dim`` bins."""
        return Cross(feature_names, crossing_dim, output_mode=output_mode)

    @classmethod
    def feature(cls, dtype, preprocessor, output_mode):
        """A feature with a preprocessing layer of your own."""
        return Feature(dtype, preprocessor, output_mode)

    @classmethod
    def float(cls, name=None):
        """Numbers as they are."""
        return Feature("float32", TFDIdentity(dtype="float32", name=_name(name, "float")), "float")

    @classmethod
    def float_rescaled(cls, scale=1.0, offset=0.0, name=None):
        """``x * scale + offset``."""
        return Feature("float32", Rescaling(scale=scale, offset=offset, name=_name(name, "float_rescaled")), "float")

    @classmethod
    def float_normalized(cls, name=None):
        """Numbers with mean 0 and variance 1."""
        return Feature("float32", Normalization(axis=-1, name=_name(name, "float_normalized")), "float")

    @classmethod
    def float_discretized(cls, num_bins, bin_boundaries=None, output_mode="one_hot", name=None):
        """Numbers in bins."""
        layer = Discretization(num_bins=num_bins, bin_boundaries=bin_boundaries, name=_name(name, "float_discretized"))
        return Feature("float32", layer, output_mode)

    @classmethod
    def integer_categorical(cls, max_tokens=None, num_oov_indices=1, output_mode="one_hot", name=None):
        """Integers by a vocabulary."""
        layer = IntegerLookup(name=_name(name, "integer_categorical"), max_tokens=max_tokens, num_oov_indices=num_oov_indices)
        return Feature("int32", layer, output_mode)

    @classmethod
    def string_categorical(cls, max_tokens=None, num_oov_indices=1, output_mode="one_hot", name=None):
        """Strings by a vocabulary."""
        layer = StringLookup(name=_name(name, "string_categorical"), max_tokens=max_tokens, num_oov_indices=num_oov_indices)
        return Feature("string", layer, output_mode)

    @classmethod
    def string_hashed(cls, num_bins, output_mode="one_hot", name=None):
        """Strings by their hash."""
        return Feature("string", Hashing(name=_name(name, "string_hashed"), num_bins=num_bins), output_mode)

    @classmethod
    def integer_hashed(cls, num_bins, output_mode="one_hot", name=None):
        """Integers by their hash."""
        return Feature("int32", Hashing(name=_name(name, "integer_hashed"), num_bins=num_bins), output_mode)

    # ---- construction
    def __init__(self, features, output_mode="concat", crosses=None, crossing_dim=32, hashing_dim=32, num_discretization_bins=32,
                 name=None):  # fmt: skip
        super().__init__(name=name)
        if not features:
            raise ValueError("The `features` argument cannot be None or empty.")
        _check_mode(output_mode, ("dict", "concat"))
        self.crossing_dim, self.hashing_dim, self.num_discretization_bins = crossing_dim, hashing_dim, num_discretization_bins
        self.output_mode = output_mode
        self.features = {name: self._standardized(name, value) for name, value in features.items()}
        self.crosses = [self._standardized_cross(cross) for cross in crosses or ()]
        self.crosses_by_name = {cross.name: cross for cross in self.crosses}
        self.inputs = {name: Input(shape=(1,), dtype=feature.dtype, name=name) for name, feature in self.features.items()}
        self.preprocessors = {name: feature.preprocessor for name, feature in self.features.items()}
        self.crossers = {cross.name: HashedCrossing(cross.crossing_dim, name=cross.name) for cross in self.crosses}
        self.one_hot_encoders = {}
        self.encoded_features = self.concat = None
        self._is_adapted = False

    def _standardized(self, name, feature):
        if isinstance(feature, dict):
            return deserialize_keras_object(feature)
        if isinstance(feature, Feature):
            return feature
        make = {
            "float": self.float, "float_normalized": self.float_normalized, "float_rescaled": self.float_rescaled,
            "float_discretized": lambda name: self.float_discretized(self.num_discretization_bins, name=name),
            "integer_categorical": self.integer_categorical, "string_categorical": self.string_categorical,
            "integer_hashed": lambda name: self.integer_hashed(self.hashing_dim, name=name),
            "string_hashed": lambda name: self.string_hashed(self.hashing_dim, name=name),
        }  # fmt: skip
        if feature not in make:
            raise ValueError(f"Invalid feature type: {feature}. Expected one of {sorted(make)}.")
        return make[feature](name=name)

    def _standardized_cross(self, cross):
        if isinstance(cross, dict):
            return deserialize_keras_object(cross)
        if isinstance(cross, Cross):
            return cross
        if not self.crossing_dim:
            raise ValueError("When specifying `crosses`, the argument `crossing_dim` should be specified as well.")
        unknown = [key for key in cross if key not in self.features]
        if unknown:
            raise ValueError(f"Names in `crosses` should be present in `features`, but {cross} has unknown features: {unknown}")
        return Cross(cross, self.crossing_dim)

    # ---- learning
    def adapt(self, dataset):
        """Let every preprocessor learn from its column: of a dict of arrays or lists, or of batches that are such dicts."""
        if not isinstance(dataset, dict) and not hasattr(dataset, "__iter__"):
            raise ValueError(
                f"`adapt()` can only be called on a dict of arrays or lists, or on batches of them. Received instead: {type(dataset)}"
            )
        if not isinstance(dataset, dict) and iter(dataset) is dataset:
            dataset = list(dataset)  # each preprocessor goes through it
        for name in self._adaptable():
            self.preprocessors[name].adapt(iter(_column(dataset, name)))
        self._is_adapted = True
        self.get_encoded_features()

    def _adaptable(self):
        def learns(layer):
            given = isinstance(layer, Normalization) and layer.input_mean is not None
            given = given or (isinstance(layer, TextVectorization) and layer._has_input_vocabulary)
            return hasattr(layer, "adapt") and not given

        return [name for name, layer in self.preprocessors.items() if learns(layer)]

    def get_inputs(self):
        """The inputs of a Functional model, ``{name: KerasTensor}``."""
        self.get_encoded_features()
        return self.inputs

    def get_encoded_features(self):
        """What the features become, as KerasTensors of a Functional model."""
        if not self._is_adapted and self._adaptable():
            raise ValueError("You need to call `.adapt(dataset)` before you use a FeatureSpace.")
        self._is_adapted = True
        if self.encoded_features is None:
            preprocessed, crossed = self._prepared(self.inputs)
            self._make_encoders({**preprocessed, **crossed})
            self.encoded_features = self._merged(preprocessed, crossed)
            self.built = True
        return self.encoded_features

    # ---- the call
    def __call__(self, data):
        self.get_encoded_features()
        if not isinstance(data, dict):
            raise ValueError(f"A FeatureSpace is called with a dict, got {data} ({type(data)})")
        columns = {name: _values(value) for name, value in data.items()}
        single = any(x.ndim == 0 for x in columns.values())
        columns = {name: x.reshape(-1, 1) if x.ndim < 2 else x for name, x in columns.items()}
        columns = {name: x if x.dtype.kind == "U" else as_tensor(x) for name, x in columns.items()}
        merged = self._merged(*self._prepared(columns))
        return tree.map_structure(lambda x: ops.squeeze(x, 0) if x.shape[0] == 1 else x, merged) if single else merged

    def _prepared(self, columns):
        """Columns after their preprocessors, and crosses of them."""
        preprocessed = {name: self.preprocessors[name](columns[name]) for name in columns}
        crossed = {cross.name: self.crossers[cross.name]([preprocessed[n] for n in cross.feature_names]) for cross in self.crosses}
        return preprocessed, crossed

    def _make_encoders(self, columns):
        for name, x in columns.items():
            spec = self.features.get(name) or self.crosses_by_name[name]
            if spec.output_mode == "one_hot":
                self.one_hot_encoders[name] = CategoryEncoding(num_tokens=self._categories(name, x.dtype), output_mode="multi_hot")
            elif self.output_mode == "concat" and (x.dtype.startswith("int") or x.dtype == "string"):
                raise ValueError(f"Cannot concatenate: feature '{name}' is not encoded but {x.dtype}. Consider `output_mode='dict'`.")
        if self.output_mode == "concat":
            self.concat = TFDConcat(axis=-1)

    def _categories(self, name, dtype):
        if not dtype.startswith("int"):
            raise ValueError(f"Feature '{name}' is to be one-hot, for which its preprocessor has to give integers, not {dtype}.")
        layer = self.preprocessors.get(name) or self.crossers[name]
        for cls, count in _CATEGORIES.items():
            if isinstance(layer, cls):
                return count(layer)
        raise ValueError(
            f"Feature '{name}' has `output_mode='one_hot'`, but it isn't a standard feature: the size of its output space is not known. "
            "Try using `output_mode='int'`."
        )

    def _merged(self, preprocessed, crossed):
        """Features by name, then crosses by name: as a dict, or one behind the other."""
        encoded = {
            name: self.one_hot_encoders[name](columns[name]) if name in self.one_hot_encoders else columns[name]
            for columns in (preprocessed, crossed)
            for name in sorted(columns)
        }
        return encoded if self.output_mode == "dict" else self.concat(list(encoded.values()))

    # ---- config and files
    def get_config(self):
        names = ("output_mode", "crossing_dim", "hashing_dim", "num_discretization_bins")
        return {
            "features": serialize_keras_object(dict(self.features)),
            "crosses": serialize_keras_object(list(self.crosses)),
            **{name: getattr(self, name) for name in names},
        }

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def get_build_config(self):
        return {name: feature.preprocessor.get_build_config() for name, feature in self.features.items()}

    def build_from_config(self, config):
        for name, shapes in config.items():
            layer = self.preprocessors[name]
            if not layer.built and shapes:
                layer.build_from_config(shapes)
        self._is_adapted = True

    def save(self, filepath):
        """Write it to a ``.keras`` file, which ``keras.models.load_model`` reads."""
        saving.save_model(self, filepath)

    def save_own_variables(self, store):
        """It has none: its layers have."""

    def load_own_variables(self, store):
        """It has none: its layers have."""


def _name(name, kind):
    return f"{name or auto_name(kind)}_preprocessor"


def _values(x):
    """A column as a NumPy array; numbers in lists get the usual 32 bits."""
    array = read(x)
    return array if array.dtype.kind == "U" or hasattr(x, "dtype") else as_tensor(array.tolist()).numpy()


def _column(dataset, name):
    """Batches of one column, each of rank 2 at least."""
    if isinstance(dataset, dict):
        values = _values(dataset[name])
        if values.ndim == 1:
            return [values[i : i + _BATCH, None] for i in range(0, len(values), _BATCH)]
        return [row[:, None] if row.ndim == 1 else row for row in values]
    batches = [_values(batch[name]) for batch in dataset]
    return [x.reshape(-1, 1) if x.ndim < 2 else x for x in batches]
