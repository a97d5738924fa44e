"""``fit``, ``evaluate`` and ``predict`` on every kind of data, which must all give what arrays give."""

import itertools
import warnings

import h5py
import numpy as np
import pandas
import polars
import pytest
import scipy.sparse

import kerasish as keras
from kerasish.data import PyDataset

X = np.random.default_rng(0).standard_normal((20, 4)).astype("float32")
Y = np.arange(20) % 3
W = np.linspace(0.5, 2, 20).astype("float32")
SIZE = 6


def batches(*arrays, size=SIZE):
    return [tuple(a[i : i + size] for a in arrays) for i in range(0, 20, size)]


class Loader:
    """Can be iterated again, as a DataLoader or a tf.data.Dataset."""

    def __init__(self, items):
        self.items = items

    def __iter__(self):
        return iter(self.items)

    def __len__(self):
        return len(self.items)


class Cardinality(Loader):
    __len__ = None

    def cardinality(self):
        return len(self.items)


class Data(PyDataset):
    def __init__(self, items, **kwargs):
        super().__init__(**kwargs)
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


FILES = itertools.count()


def in_file(*arrays):
    file = h5py.File(f"in memory {next(FILES)}", "w", driver="core", backing_store=False)
    for number, array in enumerate(arrays):
        file[str(number)] = array
    return tuple(file[str(number)] for number in range(len(arrays)))


KINDS = {  # of the arrays X, Y (and W): the first arguments of `fit`
    "arrays": lambda *a: a,
    "tensors": lambda *a: tuple(keras.ops.convert_to_tensor(array) for array in a),
    "hdf5": in_file,
    "pandas": lambda *a: tuple(pandas.DataFrame(array) for array in a),
    "polars": lambda x, *others: (polars.DataFrame(x), *map(polars.Series, others)),
    "sparse": lambda x, *others: (scipy.sparse.csr_array(x), *others),
    "generator": lambda *a: ((item for _ in range(3) for item in batches(*a)),),
    "iterator": lambda *a: (iter(3 * batches(*a)),),
    "loader": lambda *a: (Loader(batches(*a)),),
    "loader of lists": lambda *a: (Loader([list(item) for item in batches(*a)]),),
    "cardinality": lambda *a: (Cardinality(batches(*a)),),
    "data set": lambda *a: (Data(batches(*a)),),
    "threads": lambda *a: (Data(batches(*a), workers=2),),
}
each_kind = pytest.mark.parametrize("kind", KINDS)


def classifier():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax", kernel_initializer="zeros")])
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", weighted_metrics=["accuracy"], run_eagerly=True)
    return model


def given_as(kind, arrays):
    """The arguments that `fit` takes: x, y and sample_weight for arrays, else x alone."""
    data = KINDS[kind](*arrays)
    return dict(zip(("x", "y", "sample_weight"), data, strict=False))


def is_array_kind(kind):
    return len(KINDS[kind](X, Y)) == 2


def fitted(kind, arrays, **options):
    arguments = given_as(kind, arrays)
    steps = {"steps_per_epoch": 4} if kind in ("generator", "iterator") else {}
    size = {"batch_size": SIZE} if is_array_kind(kind) else {}
    model = classifier()
    history = model.fit(**arguments, **size, **{**steps, **options}, shuffle=False, epochs=2, verbose=0).history
    return history, model


@each_kind
@pytest.mark.parametrize("arrays", [(X, Y), (X, Y, W)], ids=["plain", "weighted"])
def test_every_kind_trains_alike(kind, arrays):
    expected, theirs = fitted("arrays", arrays)
    history, model = fitted(kind, arrays)
    np.testing.assert_allclose(history["loss"], expected["loss"], rtol=1e-6)
    np.testing.assert_allclose(model.get_weights()[0], theirs.get_weights()[0], rtol=1e-6)


@each_kind
def test_every_kind_evaluates_and_predicts_alike(kind):
    _, model = fitted("arrays", (X, Y))
    size = {"batch_size": SIZE} if is_array_kind(kind) else {}
    expected = model.evaluate(X, Y, verbose=0)
    steps = {"steps": 4} if kind in ("generator", "iterator") else {}
    np.testing.assert_allclose(model.evaluate(**given_as(kind, (X, Y)), **size, **steps, verbose=0), expected, rtol=1e-6)
    np.testing.assert_allclose(model.predict(given_as(kind, (X,))["x"], **size, **steps, verbose=0), model.predict(X, verbose=0), rtol=1e-6)


@each_kind
@pytest.mark.parametrize("options", [{}, {"validation_steps": 2}], ids=["whole", "steps"])
def test_every_kind_validates_alike(kind, options):
    if not is_array_kind(kind):
        given, size = KINDS[kind](X, Y, W)[0], {}
    else:
        given, size = KINDS[kind](X, Y, W), {"validation_batch_size": SIZE}
    if kind in ("generator", "iterator"):
        options = {"validation_steps": options.get("validation_steps", 4)}
    history, _ = fitted("arrays", (X, Y), validation_data=given, **size, **options)
    expected, _ = fitted("arrays", (X, Y), validation_data=(X, Y, W), validation_batch_size=SIZE, **options)
    if kind in ("generator", "iterator") and options["validation_steps"] == 2:  # goes on with its next batches
        assert history["val_loss"][0] == pytest.approx(expected["val_loss"][0]) and len(history["val_loss"]) == 2
        return
    np.testing.assert_allclose(history["val_loss"], expected["val_loss"], rtol=1e-6)
    np.testing.assert_allclose(history["val_accuracy"], expected["val_accuracy"], rtol=1e-6)


TARGETS = {"numbers": Y, "column": Y[:, None], "one-hot": np.eye(3, dtype="float32")[Y], "binary": (Y > 0).astype("float32")[:, None]}


@pytest.mark.parametrize("kind", ["arrays", "tensors", "hdf5", "generator", "loader", "data set"])
@pytest.mark.parametrize("target", TARGETS)
def test_class_weights_are_sample_weights(kind, target):
    y, by_class = TARGETS[target], {0: 3.0, 1: 0.25}
    labels = Y if target != "binary" else (Y > 0)
    weights = np.array([by_class.get(int(label), 1.0) for label in labels], "float32")

    def trained(arrays, **options):
        units, loss = (1, "binary_crossentropy") if target == "binary" else (3, "categorical_crossentropy" if target == "one-hot" else "sparse_categorical_crossentropy")
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units, activation="sigmoid", kernel_initializer="zeros")])
        model.compile("sgd", loss, run_eagerly=True)
        given = given_as(kind, arrays)
        size = {"batch_size": SIZE} if is_array_kind(kind) else {}
        model.fit(**given, **size, **options, shuffle=False, verbose=0, steps_per_epoch=4)
        return model.get_weights()[0]

    np.testing.assert_allclose(trained((X, y), class_weight=by_class), trained((X, y, weights)), rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": X, "y": {"a": Y, "b": Y}}, "single output"),
        ({"x": X, "y": Y, "sample_weight": W}, "at the same time"),
        ({"x": X}, "needs its targets"),
        ({"x": Loader([(X, {"a": Y})])}, "single output"),
        ({"x": Data([(X, Y, W)])}, "at the same time"),
    ],
)
def test_class_weights_don_t_go_with_everything(arguments, message):
    with pytest.raises(ValueError, match=message):
        classifier().fit(**arguments, class_weight={0: 2.0}, verbose=0)


@pytest.mark.parametrize("make", [lambda: {"x": X, "y": Y}, lambda: {"x": Loader(batches(X, Y))}, lambda: {"x": Data(batches(X, Y))}])
def test_data_that_is_too_short_is_told_once_an_epoch(make):
    model = classifier()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model.fit(**make(), batch_size=SIZE if "y" in make() else None, steps_per_epoch=7, epochs=2, verbose=0)
    assert [str(one.message)[:27] for one in told] == ["Your input ran out of data,"] * 2
    assert int(model.optimizer.iterations) == 8


def test_a_generator_that_ends_ends_the_training():
    model = classifier()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model.fit(iter(batches(X, Y)), steps_per_epoch=3, epochs=5, verbose=0)
    assert int(model.optimizer.iterations) == 4 and len(model.history.history["loss"]) == 2
    assert len(told) == 2 and "after 2 epochs" in str(told[1].message)


def test_epochs_go_on_from_the_first_that_is_asked_for():
    seen = []
    model = classifier()
    tell = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: seen.append(epoch))
    model.fit((item for _ in range(4) for item in batches(X, Y)), steps_per_epoch=2, initial_epoch=3, epochs=6, verbose=0, callbacks=[tell])
    assert seen == [3, 4, 5] and int(model.optimizer.iterations) == 6


def test_a_run_that_goes_on_gives_what_one_run_gives():
    """The interface that BackupAndRestore uses, in the middle of an epoch."""

    def data():
        return {"x": in_file(X, Y)[0], "y": Y, "batch_size": SIZE, "shuffle": True, "verbose": 0, "epochs": 3}

    class Keep(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if int(self.model.optimizer.iterations) == 6:
                self.kept = self.model._train_epochs.position(), self.model.get_weights()

    class GoOn(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            position, weights = keep.kept
            self.model.set_weights(weights)
            self.model._initial_epoch = 1
            self.model._train_epochs.restore(position)

    keras.utils.set_random_seed(1)
    keep, whole = Keep(), classifier()
    whole.fit(**data(), callbacks=[keep])
    keras.utils.set_random_seed(2)
    rest = classifier()
    rest.fit(**data(), callbacks=[GoOn()])
    assert int(rest.optimizer.iterations) == 6
    np.testing.assert_array_equal(rest.get_weights()[0], whole.get_weights()[0])
    assert whole._train_epochs is None
