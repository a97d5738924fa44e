"""Layers for numbers, categories and text. Values are those of real Keras 3.15.1 on TensorFlow, which it needs for these layers."""

import json
import pathlib
import zipfile

import numpy as np
import pytest

import kerasish as keras
from kerasish import layers
from kerasish.backend.autodiff.tensor import NoValueError, Tensor
from kerasish.layers.preprocessing.fingerprints import farmhash64, siphash64
from kerasish.saving import keras_file

NUMBERS = np.random.RandomState(0).normal(size=(40, 5)).astype("float32")
TOKENS = np.array([["a", "c", "d", "c"], ["d", "z", "b", "é"], ["c", "c", "b", "Z"]])
TEXTS = np.array(["Earth, wind & Fire!", "fire\u00a0and  Rain\tearth", "", "Été don't"])
A_TO_D = ["a", "b", "c", "d"]


def batches(data, size):
    return (data[i : i + size] for i in range(0, len(data), size))


def adapted(layer, data):
    layer.adapt(data)
    return layer


# ---- hashes
LENGTHS = ["", "a", "ab", "abc", "abcd", "abcdefg", "abcdefgh", "0123456789abcdef", "0123456789abcdefg", "x" * 32, "y" * 33, "z" * 64,
           "q" * 65, "The quick brown fox jumps over the lazy dog. " * 4, "héllo wörld", "k" * 128, "k" * 129, "m" * 200]  # fmt: skip
FARM = [1936946117179621455, 3694432073954588131, 3066228220894225694, 2640714258260161385, 1897425971756105985, 4341691227789030229,
        4533385575889643785, 1493332391325024359, 2800675501336285770, 3678204687145032709, 3999049019338133246, 294799756062990872,
        3080958293828885289, 2895500079757355426, 4390285103997208723, 224700386886314890, 930124591354907890,
        449133310307763775]  # fmt: skip
SIP = [316627932347062996, 2466253977694453450, 3814769135020288330, 2288159068006480041, 3196519216900852167, 1733789709272385407,
       210173030064361732, 4045071960732599654, 2112349501170619355, 814092544179586341, 3745711414651606668, 3484376427546784575,
       203371353842262250, 70175252174585679, 1898112308239993354, 208786291661287741, 791241516184975299,
       1489400776933630407]  # fmt: skip


@pytest.mark.parametrize(
    ("hash_of", "expected"), [(farmhash64, FARM), (lambda s: siphash64(s, (133, 137)), SIP)], ids=["farmhash", "siphash"]
)
def test_hashes_of_strings_of_all_lengths(hash_of, expected):
    found = hash_of([s.encode() for s in LENGTHS]) % np.uint64(2**62)  # TensorFlow says hashes only as bins
    assert found.tolist() == expected
    assert hash_of([]).tolist() == []


LETTERS = np.array([["A"], ["B"], ["C"], ["D"], ["E"]])


@pytest.mark.parametrize(
    ("config", "inputs", "expected"),
    [
        ({"num_bins": 3}, LETTERS, [[1], [0], [1], [1], [2]]),
        ({"num_bins": 3, "mask_value": ""}, np.array([["A"], ["B"], [""], ["C"], ["D"]]), [[1], [1], [0], [2], [2]]),
        ({"num_bins": 3, "salt": [133, 137]}, LETTERS, [[1], [2], [1], [0], [2]]),
        ({"num_bins": 7, "salt": 5}, np.array([[1, -2], [300, 12345678901]]), [[3, 5], [6, 0]]),
        ({"num_bins": 7}, np.array([[1.5, -2.7], [300.0, 0.0]], "float32"), [[5, 0], [3, 2]]),
        ({"num_bins": 5, "mask_value": 0}, np.array([0, 1, 2, 3]), [0, 2, 4, 2]),
        ({"num_bins": 4, "output_mode": "one_hot"}, LETTERS[:3], [[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]]),
        ({"num_bins": 4, "output_mode": "multi_hot"}, np.array([["A", "B"], ["C", "C"]]), [[1, 0, 0, 0], [0, 0, 0, 1]]),
        ({"num_bins": 4, "output_mode": "count"}, np.array([["A", "B"], ["C", "C"]]), [[2, 0, 0, 0], [0, 0, 0, 2]]),
        ({"num_bins": 4, "output_mode": "count"}, np.array(["A", "B", "C", "C"]), [2, 0, 0, 2]),
    ],
)
def test_hashing(config, inputs, expected):
    y = layers.Hashing(**config)(inputs)
    assert y.tolist() == expected
    assert y.dtype == ("int64" if config.get("output_mode", "int") == "int" else "float32")
    assert layers.Hashing(**config)(Tensor(inputs)).tolist() == expected


FIRST, SECOND = np.array(["A", "B", "A", "B", "A"]), np.array([101, 101, 101, 102, 102])


@pytest.mark.parametrize(
    ("config", "inputs", "expected"),
    [
        ({"num_bins": 5}, (FIRST, SECOND), [1, 4, 1, 1, 3]),
        ({"num_bins": 1000}, (FIRST[:, None], SECOND[:, None], FIRST[:, None]), [[795], [364], [795], [661], [779]]),
        ({"num_bins": 10}, (np.array("A"), np.array(3)), 6),
        ({"num_bins": 1000}, (np.array([-1, 2]), np.array([7, 8])), [481, 12]),
        ({"num_bins": 4, "output_mode": "one_hot"}, (np.array([["a"], ["b"]]), np.array([[7], [8]])), [[1, 0, 0, 0], [0, 0, 1, 0]]),
    ],
)
def test_hashed_crossing(config, inputs, expected):
    assert layers.HashedCrossing(**config)(inputs).tolist() == expected


# ---- numbers
@pytest.mark.parametrize(
    ("config", "whole", "by_batch"),
    [
        (
            {"num_bins": 4},
            [-0.7395631074905396, 0.052164964377880096, 0.8024560213088989],
            [-0.7305223941802979, 0.05216507241129875, 0.8241565823554993],
        ),
        (
            {"num_bins": 7, "epsilon": 0.1},
            [-1.0788135528564453, -0.6681042909622192, -0.17652671039104462, 0.26945164799690247, 0.6796344518661499, 1.2563951015472412],
            [-0.8438807129859924, -0.5093259811401367, -0.11069229990243912, 0.28532159328460693, 0.6749690771102905, 1.2070680856704712],
        ),
        ({"num_bins": 3, "epsilon": 0.05}, [-0.48718640208244324, 0.4972319006919861], [-0.37392187118530273, 0.5572276711463928]),
    ],
)
def test_discretization_learns_keras_boundaries(config, whole, by_batch):
    assert adapted(layers.Discretization(**config), NUMBERS).bin_boundaries == whole
    layer = adapted(layers.Discretization(**config), batches(NUMBERS, 7))
    assert layer.bin_boundaries == by_batch
    again = layers.Discretization.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert again(NUMBERS).tolist() == np.digitize(NUMBERS, np.float32(by_batch)).tolist()


def test_discretization_takes_only_so_many_steps():
    some = adapted(layers.Discretization(num_bins=3), batches(NUMBERS[:14], 7))
    layer = layers.Discretization(num_bins=3)
    layer.adapt(batches(NUMBERS, 7), steps=2)
    assert layer.bin_boundaries == some.bin_boundaries


class Halves(keras.utils.PyDataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return NUMBERS[20 * index : 20 * index + 20], np.zeros(20)


@pytest.mark.parametrize(
    "data", [NUMBERS, Tensor(NUMBERS), [NUMBERS[:7], NUMBERS[7:20], NUMBERS[20:]], batches(NUMBERS, 9), Halves()],
    ids=["array", "tensor", "list", "generator", "PyDataset"],
)  # fmt: skip
def test_normalization_learns_mean_and_variance(data):
    layer = adapted(layers.Normalization(), data)
    mean = [-0.012530699372291565, 0.1502978652715683, 0.029561519622802734, -0.06942892074584961, 0.25665268301963806]
    variance = [1.1318984031677246, 0.9448883533477783, 0.7494504451751709, 1.4696393013000488, 0.8514759540557861]
    np.testing.assert_allclose(layer.adapt_mean.numpy(), mean, atol=1e-6)
    np.testing.assert_allclose(layer.adapt_variance.numpy(), variance, rtol=1e-6)
    y = layer(NUMBERS).numpy()
    np.testing.assert_allclose(y, (NUMBERS - mean) / np.sqrt(variance), atol=1e-5)
    back = layers.Normalization(mean=mean, variance=variance, invert=True)
    np.testing.assert_allclose(back(y).numpy(), NUMBERS, atol=1e-5)


def test_normalization_by_several_axes_and_by_none():
    data = NUMBERS.reshape(10, 4, 5)
    several, none = adapted(layers.Normalization(axis=(1, 2)), data), adapted(layers.Normalization(axis=None), [data[:3], data[3:]])
    np.testing.assert_allclose(several.mean.numpy()[0], data.mean(0), atol=1e-6)
    np.testing.assert_allclose(none.variance.numpy().item(), data.var(), rtol=1e-5)


# ---- look-ups
WORDS = np.array([["a", "foo", "z"], ["bar", "baz", "b"]])
KEYS = np.array([[12, 1138, 42, -7], [0, 1000, 36, -1]])
PADDED = np.array([["a", "", "c", "c"], ["zz", "b", "b", "yy"]])


@pytest.mark.parametrize(
    ("config", "inputs", "expected"),
    [
        ({}, np.array([["a", "c", "d"], ["d", "z", "b"]]), [[1, 3, 4], [4, 0, 2]]),
        ({}, np.array("c"), 3),
        ({"num_oov_indices": 3, "mask_token": "z"}, WORDS, [[4, 1, 0], [1, 3, 5]]),
        ({"num_oov_indices": 3, "salt": [3, 4]}, WORDS, [[3, 2, 1], [0, 1, 4]]),
        ({"num_oov_indices": 2, "mask_token": "", "output_mode": "multi_hot"}, PADDED, [[0, 0, 1, 0, 1, 0], [1, 1, 0, 1, 0, 0]]),
        ({"num_oov_indices": 2, "mask_token": "", "output_mode": "count"}, PADDED, [[0, 0, 1, 0, 2, 0], [1, 1, 0, 2, 0, 0]]),
        ({"max_tokens": 7, "pad_to_max_tokens": True, "output_mode": "one_hot"}, np.array([["a"], ["zz"]]), [[0, 1, *[0] * 5], [1, *[0] * 6]]),
        ({"output_mode": "multi_hot"}, np.array(["c", "a"]), [0, 1, 0, 1, 0]),
        ({"invert": True}, np.array([[1, 3, 4], [4, 0, 9]]), [["a", "c", "d"], ["d", "[UNK]", "[UNK]"]]),
        ({"invert": True, "mask_token": ""}, np.array([[1, 3, 4], [4, 0, 9]]), [["[UNK]", "b", "c"], ["c", "", "[UNK]"]]),
        ({}, [[b"a", b"zz"]], [[1, 0]]),
    ],
)
def test_string_lookup(config, inputs, expected):
    assert layers.StringLookup(vocabulary=A_TO_D, **config)(inputs).tolist() == expected


def test_string_lookup_weighs_by_rarity():
    layer = layers.StringLookup(vocabulary=A_TO_D, idf_weights=[0.25, 0.75, 0.6, 0.4], output_mode="tf_idf")
    y = layer(np.array([["a", "c", "d", "d"], ["d", "z", "b", "z"]]))
    np.testing.assert_allclose(y.numpy(), [[0.0, 0.25, 0.0, 0.6, 0.8], [1.0, 0.0, 0.75, 0.0, 0.4]], rtol=1e-6)


@pytest.mark.parametrize(
    ("config", "inputs", "expected"),
    [
        ({"vocabulary": [12, 36, 1138, 42]}, np.array([[12, 1138, 42], [42, 1000, 36]]), [[1, 3, 4], [4, 0, 2]]),
        ({"vocabulary": [12, 36], "num_oov_indices": 3, "mask_token": 0}, KEYS, [[4, 2, 1, 3], [0, 2, 5, 3]]),
        ({"vocabulary": [12, 36], "num_oov_indices": 3, "oov_method": "farmhash"}, KEYS, [[3, 0, 0, 2], [1, 2, 4, 0]]),
        ({"vocabulary": [12, 36], "num_oov_indices": 3, "oov_method": "farmhash", "salt": 9}, KEYS, [[3, 1, 2, 2], [2, 1, 4, 0]]),
        ({"vocabulary": [12, 36, 40], "invert": True}, np.array([[1, 3], [0, 9]]), [[12, 40], [-1, -1]]),
        ({"vocabulary": [12, 36, 40], "invert": True, "mask_token": 0}, np.array([[1, 3], [0, 9]]), [[-1, 36], [0, -1]]),
        ({"vocabulary": [12, 36], "output_mode": "count"}, np.array([[12, 12, 5], [36, 36, 36]]), [[1, 2, 0], [0, 0, 3]]),
    ],
)
def test_integer_lookup(config, inputs, expected):
    assert layers.IntegerLookup(**config)(inputs).tolist() == expected


@pytest.mark.parametrize(
    ("layer", "data", "vocabulary"),
    [
        (layers.StringLookup(), TOKENS, ["[UNK]", "c", "d", "b", "é", "z", "a", "Z"]),
        (layers.StringLookup(), batches(TOKENS, 2), ["[UNK]", "c", "d", "b", "é", "z", "a", "Z"]),
        (layers.StringLookup(max_tokens=4, mask_token="c"), TOKENS, ["c", "[UNK]", "d", "b"]),
        (layers.IntegerLookup(), np.array([[12, 1138, 42], [42, 1000, 36], [42, 12, -1]]), [-1, 42, 12, 1138, 1000, 36]),
    ],
)
def test_lookups_learn_the_most_frequent_tokens(layer, data, vocabulary):
    assert adapted(layer, data).get_vocabulary() == vocabulary
    assert layer.vocabulary_size() == len(vocabulary)
    special = layer._token_start
    assert layer.get_vocabulary(include_special_tokens=False) == vocabulary[special:]


def test_lookup_learns_weights():
    layer = adapted(layers.StringLookup(output_mode="tf_idf"), TOKENS)
    expected = [0.82065779, *[0.69314718] * 3, *[0.91629076] * 4]
    np.testing.assert_allclose(layer.idf_weights.numpy(), expected, rtol=1e-6)
    np.testing.assert_allclose(layer(TOKENS[:1]).numpy(), [[0, 1.38629436, 0.69314718, 0, 0, 0, 0.91629076, 0]], rtol=1e-6)
    padded = adapted(layers.StringLookup(output_mode="tf_idf", max_tokens=10, pad_to_max_tokens=True), TOKENS[:, 0])
    np.testing.assert_allclose(padded.idf_weights.numpy(), [*[0.91629076] * 4, *[0] * 6], rtol=1e-6)


# ---- text
@pytest.mark.parametrize(
    ("config", "vocabulary", "expected"),
    [
        (
            {},
            ["", "[UNK]", "earth", "Été", "wind", "rain", "fire\xa0and", "fire", "dont"],
            [[2, 4, 7], [6, 5, 2], [0, 0, 0], [3, 8, 0]],
        ),
        (
            {"output_sequence_length": 2},
            ["", "[UNK]", "earth", "Été", "wind", "rain", "fire\xa0and", "fire", "dont"],
            [[2, 4], [6, 5], [0, 0], [3, 8]],
        ),
        (
            {"output_sequence_length": 4},
            ["", "[UNK]", "earth", "Été", "wind", "rain", "fire\xa0and", "fire", "dont"],
            [[2, 4, 7, 0], [6, 5, 2, 0], [0, 0, 0, 0], [3, 8, 0, 0]],
        ),
        (
            {"ngrams": 2, "standardize": "lower"},
            ["", "[UNK]", "Été don't", "Été", "wind &", "wind", "rain earth", "rain", "fire\xa0and rain", "fire\xa0and", "fire!",
             "earth, wind", "earth,", "earth", "don't", "& fire!", "&"],
            [[12, 5, 16, 10, 11, 4, 15], [9, 7, 13, 8, 6, 0, 0], [0, 0, 0, 0, 0, 0, 0], [3, 14, 2, 0, 0, 0, 0]],
        ),
        (
            {"ngrams": (1, 3), "standardize": "lower"},
            ["", "[UNK]", "Été", "wind & fire!", "wind", "rain", "fire\xa0and rain earth", "fire\xa0and", "fire!", "earth, wind &",
             "earth,", "earth", "don't", "&"],
            [[10, 4, 13, 8, 9, 3], [7, 5, 11, 6, 0, 0], [0, 0, 0, 0, 0, 0], [2, 12, 0, 0, 0, 0]],
        ),
        (
            {"split": "character", "standardize": "strip_punctuation"},
            ["", "[UNK]", " ", "t", "r", "n", "i", "a", "e", "d", "h", "é", "É", "\xa0", "w", "o", "f", "R", "F", "E", "\t"],
            [[19, 7, 4, 3, 10, 2, 14, 6, 5, 9, 2, 2, 18, 6, 4, 8, 0, 0, 0, 0],
             [16, 6, 4, 8, 13, 7, 5, 9, 2, 2, 17, 7, 6, 5, 20, 8, 7, 4, 3, 10],
             [0] * 20, [12, 3, 11, 2, 9, 15, 5, 3, *[0] * 12]],
        ),
        (
            {"split": None, "standardize": None},
            ["", "[UNK]", "Été don't", "fire\xa0and  Rain\tearth", "Earth, wind & Fire!"],
            [4, 3, 0, 2],
        ),
        (
            {"output_mode": "multi_hot"},
            ["[UNK]", "earth", "Été", "wind", "rain", "fire\xa0and", "fire", "dont"],
            [[0, 1, 0, 1, 0, 0, 1, 0], [0, 1, 0, 0, 1, 1, 0, 0], [0] * 8, [0, 0, 1, 0, 0, 0, 0, 1]],
        ),
        (
            {"output_mode": "count", "max_tokens": 9, "pad_to_max_tokens": True},
            ["[UNK]", "earth", "Été", "wind", "rain", "fire\xa0and", "fire", "dont"],
            [[0, 1, 0, 1, 0, 0, 1, 0, 0], [0, 1, 0, 0, 1, 1, 0, 0, 0], [0] * 9, [0, 0, 1, 0, 0, 0, 0, 1, 0]],
        ),
    ],
)  # fmt: skip
def test_text_vectorization(config, vocabulary, expected):
    layer = adapted(layers.TextVectorization(**config), TEXTS)
    assert layer.get_vocabulary() == vocabulary
    assert layer(TEXTS).tolist() == expected
    assert adapted(layers.TextVectorization(**config), batches(TEXTS[:, None], 3)).get_vocabulary() == vocabulary
    if layer.split is not None:
        assert layer(TEXTS[:, None]).tolist() == expected
        symbolic = layer(keras.Input((1,), dtype="string"))
        assert all(n in (None, m) for n, m in zip(symbolic.shape, layer(TEXTS).shape, strict=True))
        assert symbolic.dtype == layer(TEXTS).dtype


def test_text_vectorization_weighs_by_rarity():
    layer = adapted(layers.TextVectorization(output_mode="tf_idf"), TEXTS)
    often, once = 0.8472978472709656, 1.0986123085021973
    np.testing.assert_allclose(layer(TEXTS[:1]).numpy(), [[0, often, 0, once, 0, 0, once, 0]], rtol=1e-6)


def test_text_vectorization_of_other_ranks():
    layer = adapted(layers.TextVectorization(), TEXTS)
    assert layer("fire rain").tolist() == [7, 5]
    assert layer(TEXTS.reshape(2, 2, 1)).tolist() == [[[2, 4, 7], [6, 5, 2]], [[0, 0, 0], [3, 8, 0]]]
    pairs = np.array([["a", "b"], ["b", "c"]])
    layer = adapted(layers.TextVectorization(split=None, standardize=None, ngrams=2, output_sequence_length=4), pairs)
    assert layer.get_vocabulary() == ["", "[UNK]", "b", "c", "b c", "a b", "a"]
    assert layer(np.array([["a", "b"], ["b", "z"]])).tolist() == [[6, 2, 5, 0], [2, 1, 1, 0]]


@keras.saving.register_keras_serializable("tests")
def swap(texts):
    return np.char.replace(texts, "x", "y")


@keras.saving.register_keras_serializable("tests")
def by_comma(texts):
    return [text.split(",") for text in texts]


def test_text_vectorization_with_functions():
    layer = layers.TextVectorization(standardize=swap, split=by_comma, vocabulary=["y", "b c"])
    assert layer(["x,b c", "b"]).tolist() == [[2, 3], [1, 0]]
    again = layers.deserialize(json.loads(json.dumps(layers.serialize(layer))))
    assert again.standardize is swap
    assert again(["x,b c"]).tolist() == [[2, 3]]


# ---- in models and files
def model_of(layer, size, dtype):
    inputs = keras.Input((size,), dtype=dtype)
    return keras.Model(inputs, layer(inputs))


MODELS = {
    "text": lambda: (model_of(adapted(layers.TextVectorization(ngrams=2, output_sequence_length=5), TEXTS), 1, "string"), TEXTS[:, None]),
    "tf_idf": lambda: (
        model_of(adapted(layers.TextVectorization(output_mode="tf_idf", max_tokens=12, pad_to_max_tokens=True), TEXTS), 1, "string"),
        TEXTS[:, None],
    ),
    "lines": lambda: (
        model_of(adapted(layers.TextVectorization(split="character", output_sequence_length=4), ["a\nb", "\n\u2028"]), 1, "string"),
        np.array([["b\na\u2028"]]),
    ),
    "strings": lambda: (model_of(adapted(layers.StringLookup(num_oov_indices=2, mask_token="b"), TOKENS), 4, "string"), TOKENS),
    "given": lambda: (model_of(layers.StringLookup(vocabulary=["a", "b"], output_mode="multi_hot"), 4, "string"), TOKENS),
    "integers": lambda: (model_of(adapted(layers.IntegerLookup(output_mode="count"), KEYS), 4, "int64"), KEYS),
    "hash": lambda: (model_of(layers.Hashing(7, salt=3), 4, "string"), TOKENS),
    "normal": lambda: (model_of(adapted(layers.Normalization(), NUMBERS), 5, "float32"), NUMBERS),
    "bins": lambda: (model_of(adapted(layers.Discretization(num_bins=3), NUMBERS), 5, "float32"), NUMBERS),
}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS.keys())
def test_files_hold_what_was_learned(make, tmp_path):
    model, data = make()
    expected = model.predict(data, verbose=0)
    assert expected.shape[1:] == tuple(m if n is None else n for n, m in zip(model.output_shape[1:], expected.shape[1:], strict=True))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict(data, verbose=0), expected)
    np.testing.assert_array_equal(keras_file.from_bytes(keras_file.to_bytes(again)).predict(data, verbose=0), expected)


def test_vocabulary_is_a_file_of_the_archive_as_in_keras(tmp_path):
    model, _ = MODELS["text"]()
    model.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        text = archive.read("assets/layers/text_vectorization/vocabulary.txt").decode()
        assert text.split("\n") == model.layers[1].get_vocabulary()


def test_model_on_texts_trains():
    texts, labels = np.array([["good film"], ["bad film"]] * 4), np.array([1.0, 0.0] * 4)
    vectors = adapted(layers.TextVectorization(output_mode="multi_hot"), texts[:, 0])
    model = keras.Sequential([keras.Input((1,), dtype="string"), vectors, layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    losses = model.fit(texts, labels, epochs=5, batch_size=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


def test_no_part_of_a_recorded_step():
    layer = layers.StringLookup(vocabulary=A_TO_D)
    with pytest.raises(NoValueError, match=r"StringLookup needs the values"):
        layer(Tensor(None, (2,), "string"))


# ---- what is refused
@pytest.mark.parametrize("cls", [layers.StringLookup, layers.TextVectorization])
def test_names_of_files_in_configs_are_refused(cls, tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("a\nb\n")
    layer = cls(vocabulary=str(path))
    assert layer.get_vocabulary()[-2:] == ["a", "b"]
    config = layers.serialize(layer)
    assert config["config"]["vocabulary"] is None
    config["config"]["vocabulary"] = str(path)
    with pytest.raises(ValueError, match="outside of the model archive"):
        layers.deserialize(config)
    again = keras.saving.deserialize_keras_object(config, safe_mode=False)
    assert again.get_vocabulary()[-2:] == ["a", "b"]


def test_h5_has_no_place_for_vocabularies(tmp_path):
    with pytest.raises(ValueError, match=r"text_vectorization.*\.keras"):
        MODELS["text"]()[0].save(tmp_path / "model.h5")
    assert not pathlib.Path(tmp_path / "model.h5").exists()
    model, data = MODELS["given"]()
    model.save(tmp_path / "model.h5")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.h5", compile=False)(data).numpy(), model(data).numpy())


WRONG = [
    (lambda: layers.StringLookup(vocabulary=["a"])(np.array([1, 2])), TypeError, "works on strings"),
    (lambda: layers.IntegerLookup(vocabulary=[1])(np.array(["a"])), TypeError, "works on integers"),
    (lambda: layers.StringLookup(vocabulary=["a"], num_oov_indices=0)(np.array(["a", "zz"])), ValueError, "not: .'zz'"),
    (lambda: layers.StringLookup(vocabulary=["a", "a"]), ValueError, "repeated"),
    (lambda: layers.StringLookup(vocabulary=["a", "m"], mask_token="m"), ValueError, "mask token 'm' stands at index 1"),
    (lambda: layers.StringLookup(vocabulary=["a", "b"], max_tokens=2), ValueError, "larger than the maximum"),
    (lambda: layers.StringLookup(output_mode="count")(np.array(["a"])), RuntimeError, "set the layer's vocabulary"),
    (lambda: layers.StringLookup(vocabulary=["a"]).adapt(["b"]), ValueError, "static vocabulary"),
    (lambda: layers.StringLookup().adapt(["b"], steps=1), ValueError, "steps"),
    (lambda: layers.StringLookup(sparse=True), ValueError, "sparse"),
    (lambda: layers.StringLookup(vocabulary="nowhere.txt"), ValueError, "does not exist"),
    (lambda: layers.IntegerLookup(salt=3), ValueError, "farmhash"),
    (lambda: layers.TextVectorization(ragged=True), ValueError, "ragged"),
    (lambda: layers.TextVectorization(split="words"), ValueError, "split"),
    (lambda: layers.TextVectorization()(np.array([["a", "b"]])), ValueError, "last shape dimension must be 1"),
    (lambda: layers.Hashing(0), ValueError, "num_bins"),
    (lambda: layers.Hashing(3, dtype="float32"), ValueError, "integer type"),
    (lambda: layers.HashedCrossing(3)(np.array(["a"])), ValueError, "list or tuple"),
    (lambda: layers.HashedCrossing(3)([np.array([0.5]), np.array([1])]), ValueError, "integer or string"),
    (lambda: layers.Normalization(mean=1.0), ValueError, "both `mean` and `variance`"),
    (lambda: layers.Normalization().adapt([]), ValueError, "empty iterable"),
    (lambda: layers.Normalization().adapt([[1.0], [2.0]]), TypeError, "arrays or tensors"),
    (lambda: layers.Normalization(mean=1.0, variance=1.0).adapt(NUMBERS), ValueError, "nothing to adapt"),
    (lambda: layers.Discretization(), ValueError, "num_bins"),
    (lambda: layers.Discretization(num_bins=3)(NUMBERS), ValueError, "adapt"),
    (lambda: layers.CategoryEncoding(3, output_mode="int"), ValueError, "output_mode"),
    (lambda: layers.CategoryEncoding(3)(np.array([[1]]), count_weights=np.array([[1.0]])), ValueError, "count_weights"),
    (lambda: layers.STFTSpectrogram(frame_length=8, fft_length=4), ValueError, "fft_length"),
    (lambda: layers.MelSpectrogram(fft_length=8, sequence_length=9), ValueError, "sequence_length"),
]


@pytest.mark.parametrize(("call", "error", "message"), WRONG, ids=[message for _, _, message in WRONG])
def test_wrong_use_is_an_error(call, error, message):
    with pytest.raises(error, match=message):
        call()
