"""FeatureSpace. Values are those of real Keras 3.15.1 on TensorFlow, which it needs for this."""

import numpy as np
import pytest

import kerasish as keras
from kerasish.utils import FeatureSpace

DATA = {
    "f": [0.0, 0.1, 0.2, 0.3], "fn": [1.0, 2.0, 3.0, 5.0], "fr": [1.0, 2.0, 3.0, 4.0], "d": [0.1, 0.5, 0.9, 0.2],
    "s": ["zero", "one", "two", "one"], "i": [0, 1, 2, 1], "h": ["a", "b", "c", "d"], "ih": [4, 5, 6, 7],
}  # fmt: skip
ENCODED = [
    [1, 0, 0, 0.0, -1.1832159757614136, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1],
    [0, 0, 1, 0.1, -0.5070930123329163, 5, 0, 0, 1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0],
    [0, 0, 1, 0.2, 0.16903099417686462, 7, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0],
    [0, 1, 0, 0.3, 1.5212780237197876, 9, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0],
]


def every_type():
    return FeatureSpace(
        {
            "f": "float", "fn": "float_normalized", "fr": FeatureSpace.float_rescaled(2.0, 1.0), "d": FeatureSpace.float_discretized(3),
            "s": "string_categorical", "i": "integer_categorical", "h": FeatureSpace.string_hashed(4),
            "ih": FeatureSpace.integer_hashed(3),
        },
        crosses=[("s", "i")],
        crossing_dim=5,
    )  # fmt: skip


@pytest.fixture
def space():
    space = every_type()
    space.adapt(DATA)
    return space


def test_every_type_as_one_vector(space):
    np.testing.assert_allclose(space(DATA).numpy(), ENCODED, atol=1e-6)
    np.testing.assert_allclose(space({name: values[1] for name, values in DATA.items()}).numpy(), ENCODED[1], atol=1e-6)


def test_batches_teach_the_same():
    space = every_type()
    space.adapt({name: np.array(values[i : i + 2]) for name, values in DATA.items()} for i in (0, 2))
    np.testing.assert_allclose(space(DATA).numpy()[:, 3:], np.array(ENCODED)[:, 3:], atol=1e-6)  # bins depend on the batches


def test_a_dict_of_integers():
    data = {"size": [1.0, 3.0, 8.0, 2.0], "kind": ["a", "b", "a", "c"], "n": [7, 8, 7, 7]}
    space = FeatureSpace(
        {
            "size": FeatureSpace.float_discretized(3, output_mode="int"),
            "kind": FeatureSpace.string_categorical(output_mode="int"),
            "n": "integer_hashed",
        },
        crosses=[FeatureSpace.cross(("kind", "n"), 10, output_mode="int")],
        output_mode="dict",
        hashing_dim=4,
    )
    space.adapt(data)
    assert {name: x.tolist() for name, x in space(data).items()} == {
        "kind": [[1], [3], [1], [2]],
        "n": [[1, 0, 0, 0], [0, 0, 0, 1], [1, 0, 0, 0], [1, 0, 0, 0]],
        "size": [[0], [2], [2], [1]],
        "kind_X_n": [[3], [5], [3], [1]],
    }
    single = space({"size": 2.5, "kind": "c", "n": 8})
    assert {name: x.tolist() for name, x in single.items()} == {"kind": [2], "n": [0, 0, 0, 1], "size": [1], "kind_X_n": [4]}


def test_a_layer_of_ones_own():
    one_hot = keras.layers.CategoryEncoding(4, output_mode="multi_hot")
    space = FeatureSpace({"size": FeatureSpace.feature("float32", one_hot, "float")})
    assert space({"size": [1.0, 3.0]}).tolist() == [[0, 1, 0, 0], [0, 0, 0, 1]]


def test_a_file_keeps_it(space, tmp_path):
    space.save(tmp_path / "space.keras")
    again = keras.saving.load_model(tmp_path / "space.keras")
    np.testing.assert_allclose(again(DATA).numpy(), ENCODED, atol=1e-6)
    assert again.get_config() == space.get_config()


def test_in_a_functional_model(space):
    outputs = keras.layers.Dense(1)(space.get_encoded_features())
    model = keras.Model(space.get_inputs(), outputs)
    columns = {name: np.array(values)[:, None] for name, values in DATA.items()}
    assert model.predict(columns, verbose=0).shape == (4, 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FeatureSpace({}), "cannot be None or empty"),
        (lambda: FeatureSpace({"a": "floats"}), "Invalid feature type"),
        (lambda: FeatureSpace({"a": "float"}, output_mode="list"), "output_mode"),
        (lambda: FeatureSpace({"a": "float"}, crosses=[("a", "b")]), "unknown features"),
        (lambda: FeatureSpace({"a": "float_normalized"})({"a": [1.0]}), "You need to call"),
        (lambda: FeatureSpace({"a": "float"})([1.0]), "called with a dict"),
        (lambda: FeatureSpace({"a": FeatureSpace.integer_hashed(3, output_mode="int")})({"a": [1]}), "Cannot concatenate"),
        (lambda: FeatureSpace({"a": "float"}).adapt(3), "dict of arrays"),
    ],
)
def test_wrong_use_is_an_error(make, message):
    with pytest.raises(ValueError, match=message):
        make()
