"""Categories by number: a vocabulary that says which string, or which integer, has which index."""

import collections
import pathlib

import numpy as np

from kerasish import config, ops
from kerasish.backend.autodiff.op import as_tensor
from kerasish.backend.autodiff.tensor import Tensor, is_tensor
from kerasish.layers.preprocessing.encoding import OUTPUT_MODES, check_output_mode, encode
from kerasish.layers.preprocessing.hashing import hash_bins, standardize_salt
from kerasish.layers.preprocessing.strings import HostLayer, decode, read, read_strings
from kerasish.loading import spend
from kerasish.saveable import ForBase, InitOnly, in_safe_mode

_NOWHERE = np.iinfo("int64").max  # the index of what vectors leave out
_FILE = "vocabulary.txt"  # in a .keras file's assets: one token a line


class _Vocabulary:
    """Tokens in order, and the index of each; the first one has index ``start``."""

    def __init__(self, tokens=(), start=0):
        self.tokens = list(tokens)
        self.index = {token: start + i for i, token in enumerate(self.tokens)}


def refuse_file(vocabulary):
    """ValueError for a file's name in a config that is loaded: a model from a stranger must not read files of this machine."""
    if isinstance(vocabulary, str) and in_safe_mode(False):
        raise ValueError(
            f"The vocabulary file '{vocabulary}' lies outside of the model archive: a model from elsewhere could read any file "
            "of this machine in this way. If you trust it, load it with `safe_mode=False`, or call "
            "`keras.config.enable_unsafe_deserialization()`."
        )


class _IndexLookup(HostLayer):
    """What both lookups share. Indices: the mask token (only for "int"), then tokens out of vocabulary, then the vocabulary.

    Subclasses say how keys are read (``_keys``) and have the fields.
    """

    vocabulary_dtype = "string"
    oov_method = "floormod"

    def _init_base(self, vocabulary_size=None, has_input_vocabulary=None, dtype=None, **kwargs):
        super()._init_base(**kwargs)  # the dtypes follow from vocabulary and output mode, whatever `dtype` is: so it is in Keras
        self._frozen_vocab_size, self._has_input_vocabulary = vocabulary_size, has_input_vocabulary

    def check(self, vocabulary=None, idf_weights=None):
        super().check()
        self.output_mode = {"binary": "multi_hot", "tf-idf": "tf_idf"}.get(self.output_mode, self.output_mode)
        self._check_fields(idf_weights)
        self.input_vocabulary = None if isinstance(vocabulary, str) else vocabulary
        self.input_idf_weights = idf_weights
        self.idf_weights = None
        if self._has_input_vocabulary is None:
            self._has_input_vocabulary = vocabulary is not None
        if self.output_mode == "tf_idf" and self._has_input_vocabulary and idf_weights is None:
            raise ValueError("A `vocabulary` for TF-IDF comes with its `idf_weights`.")
        self._vocabulary = _Vocabulary()
        self._forget()
        if vocabulary is not None:
            self.set_vocabulary(vocabulary, idf_weights)

    def _check_fields(self, idf_weights):
        if self.max_tokens is not None and self.max_tokens <= 1:
            raise ValueError(f"If set, `max_tokens` must be greater than 1, got {self.max_tokens}")
        if self.pad_to_max_tokens and self.max_tokens is None:
            raise ValueError(f"If pad_to_max_tokens is True, must set `max_tokens`. It is {self.max_tokens}")
        if self.num_oov_indices < 0:
            raise ValueError(f"`num_oov_indices` must be greater than or equal to 0. Got {self.num_oov_indices}")
        if self.oov_method not in ("floormod", "farmhash"):
            raise ValueError(
                f"Unknown value for `oov_method` argument of {type(self).__name__}. Allowed values are: ('floormod', 'farmhash'). "
                f"Received: oov_method={self.oov_method}"
            )
        if self.salt is not None and self.vocabulary_dtype != "string" and self.oov_method != "farmhash":
            raise ValueError(f"A `salt` needs `oov_method='farmhash'`, got {self.oov_method}")
        self.salt = standardize_salt(self.salt, type(self).__name__)
        check_output_mode(self, (*OUTPUT_MODES, "tf_idf"))
        if self.invert and self.output_mode != "int":
            raise ValueError(f"`output_mode` must be `'int'` when `invert` is true. It is {self.output_mode}")
        if idf_weights is not None and self.output_mode != "tf_idf":
            raise ValueError(f"`idf_weights` should only be set if `output_mode` is `'tf_idf'`, got {idf_weights} with {self.output_mode}")

    compute_dtype = property(lambda self: self.vocabulary_dtype)
    variable_dtype = property(lambda self: self.vocabulary_dtype)
    _oov_start = property(lambda self: int(self.mask_token is not None and self.output_mode == "int"))
    _token_start = property(lambda self: self._oov_start + self.num_oov_indices)
    _size_may_change = property(lambda self: self.output_mode == "int" or self.pad_to_max_tokens)

    @property
    def padding(self):
        """The index of what is not there: 0, or for vectors one that they leave out."""
        return 0 if self.output_mode == "int" else _NOWHERE

    # ---- the vocabulary
    def vocabulary_size(self):
        """How many indices there are, those of the mask and of tokens out of vocabulary among them."""
        return self._token_start + len(self._vocabulary.tokens)

    def get_vocabulary(self, include_special_tokens=True):
        """The tokens by index, with or without those for the mask and for what is out of vocabulary."""
        special = self._special_tokens() if include_special_tokens else []
        return [*special, *self._vocabulary.tokens]

    def _special_tokens(self):
        spend("values", self.num_oov_indices)
        return [self.mask_token] * self._oov_start + [self.oov_token] * self.num_oov_indices

    def set_vocabulary(self, vocabulary, idf_weights=None):
        """Take the given vocabulary: a list or an array, or the name of a text file with one token a line.

        It may begin with the special tokens, all or none of them. With "tf_idf", and only then, it needs ``idf_weights``.
        """
        if (self.output_mode == "tf_idf") != (idf_weights is not None):
            raise ValueError(
                "`idf_weights` must be set if output_mode is 'tf_idf', and only then. "
                f"Received: output_mode={self.output_mode} and idf_weights={idf_weights}"
            )
        if isinstance(vocabulary, str):
            vocabulary = self._read_file(vocabulary)
        tokens = self._keys(vocabulary).ravel().tolist()
        if not tokens:
            raise ValueError(f"Cannot set an empty vocabulary. Received: vocabulary={vocabulary}")
        has_special = tokens[: self._token_start] == self._special_tokens()
        self._check_tokens(tokens[self._token_start :] if has_special else tokens)
        if idf_weights is not None:
            self.idf_weights = self._padded_weights(read(idf_weights), len(tokens), has_special)
        self._keep(tokens[self._token_start :] if has_special else tokens)

    def _read_file(self, name):
        refuse_file(name)
        path = pathlib.Path(name)
        if not path.is_file():
            raise ValueError(f"Vocabulary file {name} does not exist.")
        return self._parsed(_lines(path.read_text(encoding=getattr(self, "encoding", "utf-8"))))

    def _check_tokens(self, tokens):
        repeated = [token for token, count in collections.Counter(tokens).items() if count > 1]
        if repeated:
            raise ValueError(f"The passed vocabulary has at least one repeated term. Repeated are: {repeated}")
        for what, token in (("mask", self.mask_token), ("OOV", self.oov_token if self.invert else None)):
            if token is not None and token in tokens:
                raise ValueError(
                    f"The {what} token {token!r} stands at index {tokens.index(token)} of the `vocabulary`. Such tokens are left "
                    f"out, or come first, in this order: {self._special_tokens()}."
                )
        size = self._token_start + len(tokens)
        if self.max_tokens is not None and size > self.max_tokens:
            raise ValueError(f"A vocabulary of size {size} is larger than the maximum of `max_tokens`={self.max_tokens}.")

    def _padded_weights(self, weights, n, has_special):
        """Weights for all indices: special tokens get the mean, indices up to ``max_tokens`` that nothing has get 0."""
        if weights.ndim != 1 or len(weights) != n:
            raise ValueError(f"`idf_weights` must be {n} numbers, one for each token. Received an array of shape {weights.shape}.")
        if not has_special:
            weights = np.concatenate([np.full(self._token_start, np.average(weights)), weights])
        if self.pad_to_max_tokens:
            weights = np.pad(weights, (0, self.max_tokens - len(weights)))
        return as_tensor(weights, config.floatx())

    def _keep(self, tokens):
        size = self._token_start + len(tokens)
        if not self._size_may_change and self._frozen_vocab_size not in (None, size):
            raise RuntimeError(
                f"With `output_mode={self.output_mode}` and `pad_to_max_tokens=False` a called layer's vocabulary size stays as "
                f"it is: {self._frozen_vocab_size}, not {size}"
            )
        self._vocabulary = _Vocabulary(tokens, self._token_start)
        self._frozen_vocab_size = size

    # ---- learning it
    def adapt(self, data, steps=None):
        """Learn the vocabulary from an array, a list, or batches (``steps``: only so many): the most frequent tokens come first."""
        self.reset_state()
        for batch in batches_of(data, steps, self._keys):
            self.update_state(batch)
        self.finalize_state()

    def update_state(self, data):
        """Count the tokens of one batch; each row is a document, and so is an array of rank 1."""
        keys = self._keys(data)
        self.count(keys.reshape(-1, keys.shape[-1] if keys.ndim > 1 else keys.size).tolist())

    def count(self, documents):
        """Count the tokens of lists of them."""
        if self._has_input_vocabulary:
            raise ValueError(f"Layer '{self.name}' has a static vocabulary (its `vocabulary` argument): there is nothing to adapt.")
        for tokens in documents:
            self._counts.update(tokens)
            self._document_counts.update(set(tokens))
        self._documents += len(documents)

    def finalize_state(self):
        """Make a vocabulary of what was counted: by falling frequency, equally frequent tokens in falling order."""
        if not self._counts:
            self._frozen_vocab_size = self.vocabulary_size()
            return
        for special in (self.mask_token, self.oov_token):
            self._counts.pop(special, None)
        tokens = sorted(self._counts, key=lambda token: (self._counts[token], token), reverse=True)
        if self.max_tokens is not None:
            tokens = tokens[: max(self.max_tokens - self._token_start, 0)]
        if self.output_mode == "tf_idf":
            documents_with = np.array([self._document_counts[token] for token in tokens], "float64")
            weights = np.log(1 + self._documents / (1 + documents_with)).astype(config.floatx())
            self.idf_weights = self._padded_weights(weights, len(tokens), has_special=False)
        self._keep(tokens)
        self._forget()

    def reset_state(self):
        """Forget what was counted."""
        if not self._has_input_vocabulary:
            self._forget()

    def _forget(self):
        self._counts, self._document_counts, self._documents = collections.Counter(), collections.Counter(), 0

    # ---- looking up
    def call(self, inputs):
        if not self._known(inputs):
            return self.encoded(Tensor(None, inputs.shape, self.vocabulary_dtype if self.invert else "int64"))
        if self.invert:
            return self._tokens_of(read(inputs))
        return self.encoded(as_tensor(self.indices(self._keys(inputs))))

    def indices(self, keys):
        """The index of each of an array of keys."""
        flat = keys.ravel().tolist()
        get = self._vocabulary.index.get
        found = np.fromiter((get(key, -1) for key in flat), "int64", len(flat)).reshape(keys.shape)
        masked = np.zeros(keys.shape, bool) if self.mask_token is None else keys == self.mask_token
        found[masked] = self.padding
        missing = found == -1
        if missing.any():
            found[missing] = self._out_of_vocabulary(keys[missing])
        return found

    def _out_of_vocabulary(self, keys):
        if self.num_oov_indices == 0:
            raise ValueError(
                "With `num_oov_indices=0` every input must be a known term, but these are not: "
                f"{sorted(set(keys.tolist()))[:10]}. Consider `num_oov_indices=1`."
            )
        if self.num_oov_indices == 1:
            return self._oov_start
        if self.vocabulary_dtype == "string" or self.oov_method == "farmhash":
            return self._oov_start + hash_bins(keys, self.num_oov_indices, self.salt)
        return self._oov_start + keys % self.num_oov_indices

    def _tokens_of(self, indices):
        tokens = self.get_vocabulary()
        found = [tokens[i] if 0 <= i < len(tokens) else self.oov_token for i in indices.astype("int64").ravel().tolist()]
        array = np.array(found, str if self.vocabulary_dtype == "string" else "int64").reshape(indices.shape)
        return Tensor(array, array.shape, self.vocabulary_dtype)  # strings stay in NumPy on every device

    def encoded(self, indices):
        """Indices as the output mode wants them."""
        if self.output_mode == "int":
            return indices
        depth = self.max_tokens if self.pad_to_max_tokens else self._frozen_vocab_size
        if depth is None:
            raise RuntimeError(
                f"With `output_mode={self.output_mode}` and `pad_to_max_tokens=False`, set the layer's vocabulary before the "
                "first call: by `vocabulary`, or by `adapt`."
            )
        if self.output_mode != "tf_idf":
            return encode(indices, self.output_mode, depth, config.floatx())
        counts = encode(indices, "count", depth, config.floatx())
        if self.idf_weights is None:
            if indices.value is None:
                return counts  # only its shape matters
            raise ValueError("When `output_mode` is `'tf_idf'`, `idf_weights` must be provided.")
        return ops.multiply(counts, self.idf_weights)

    # ---- config and files
    def _fits_a_file(self):
        """Whether every token is a line of text. Otherwise the vocabulary is kept in the config, where Keras reads it too."""
        return all(not isinstance(token, str) or token.splitlines() == [token] for token in self._vocabulary.tokens)

    def vocabulary_config(self):
        """The config's entries ``vocabulary`` and ``idf_weights``."""
        vocabulary, weights = self.input_vocabulary, self.input_idf_weights
        if vocabulary is None and not self._fits_a_file():
            vocabulary = self.get_vocabulary()
            weights = None if self.idf_weights is None else self.idf_weights.numpy()[: len(vocabulary)]
        return {
            "vocabulary": None if vocabulary is None else self._keys(vocabulary).ravel().tolist(),
            "idf_weights": None if weights is None else read(weights).tolist(),
        }

    def get_config(self):
        return {
            **super().get_config(),
            **self.vocabulary_config(),
            "vocabulary_size": self._frozen_vocab_size,
            "oov_method": self.oov_method,
        }

    @classmethod
    def from_config(cls, config):
        refuse_file(config.get("vocabulary"))
        return super().from_config(config)

    def get_build_config(self):
        return {}

    def build_from_config(self, config):
        self.build(None)

    def save_own_variables(self, store):
        if self.output_mode == "tf_idf" and self.idf_weights is not None:
            store["idf_weights"] = self.idf_weights.numpy()

    def load_own_variables(self, store):
        if self.output_mode == "tf_idf" and "idf_weights" in store:
            self.idf_weights = as_tensor(store["idf_weights"], config.floatx())

    @property
    def has_assets(self):
        """Whether the vocabulary is a file beside the weights, not in the config."""
        return self.input_vocabulary is None and self._fits_a_file()

    def save_assets(self, dir_path):
        if self.has_assets:
            lines = "\n".join(map(str, self.get_vocabulary()))
            pathlib.Path(dir_path, _FILE).write_text(lines, encoding="utf-8", newline="\n")

    def load_assets(self, dir_path):
        if self.input_vocabulary is not None:
            return
        lines = _lines(pathlib.Path(dir_path, _FILE).read_text(encoding="utf-8"))
        if lines[: self._token_start] == [str(token) for token in self._special_tokens()]:
            lines = lines[self._token_start :]
        if lines:
            tokens = self._parsed(lines)
            self._check_tokens(tokens)
            self._keep(tokens)

    def _parsed(self, lines):
        return lines


def _lines(text):
    """The lines of a vocabulary file, without empty ones at the end."""
    lines = text.splitlines()
    while lines and not lines[-1]:
        lines.pop()
    return lines


def batches_of(data, steps, read_array):
    """The batches of what ``adapt`` gets; an array or list is one batch, each item of one of rank 1 a row."""
    if isinstance(data, (list, tuple, np.ndarray)) or is_tensor(data):
        if steps is not None:
            raise ValueError(f"`steps` says how many batches to take, and an array or a list is one batch. Received: steps={steps}")
        array = read_array(data)
        yield array[:, None] if array.ndim == 1 else array
        return
    for i, batch in enumerate(data):
        if steps is not None and i >= steps:
            return
        yield batch


class StringLookup(_IndexLookup):
    """Strings as numbers, by a vocabulary that is given or learned with ``adapt``; with ``invert`` back (``keras.layers.StringLookup``).

    Strings that are not in it get one of ``num_oov_indices`` numbers, by their hash. ``output_mode``: "int", "one_hot",
    "multi_hot", "count" or "tf_idf". Works on values, so not inside a recorded step.

    >>> StringLookup(vocabulary=["a", "b", "c"])([["a", "c", "d"]]).tolist()
    [[1, 3, 0]]
    """

    max_tokens: int = None
    num_oov_indices: int = 1
    mask_token: str = None
    oov_token: str = "[UNK]"
    vocabulary: InitOnly = None
    idf_weights: InitOnly = None
    invert: bool = False
    output_mode: str = "int"
    pad_to_max_tokens: bool = False
    sparse: bool = False
    encoding: str = "utf-8"
    name: ForBase = None
    salt: object = None

    def _init_base(self, oov_method="floormod", **kwargs):
        super()._init_base(**kwargs)
        self.oov_method = oov_method

    def _keys(self, x):
        if isinstance(x, (list, tuple, np.ndarray)) and self.encoding.lower() not in ("utf-8", "utf8"):
            x = decode(np.asarray(x), self.encoding)
        return read_strings(x, f"{type(self).__name__} '{self.name}'")


class IntegerLookup(_IndexLookup):
    """Integers as other numbers, from 0 on, by a vocabulary that is given or learned with ``adapt`` (``keras.layers.IntegerLookup``).

    As :class:`StringLookup`; integers that are not in it get the remainder by ``num_oov_indices``, or with
    ``oov_method="farmhash"`` a hash.

    >>> IntegerLookup(vocabulary=[12, 36, 1138, 42])([[12, 1138, 42], [42, 1000, 36]]).tolist()
    [[1, 3, 4], [4, 0, 2]]
    """

    max_tokens: int = None
    num_oov_indices: int = 1
    mask_token: int = None
    oov_token: int = -1
    vocabulary: InitOnly = None
    vocabulary_dtype: str = "int64"
    idf_weights: InitOnly = None
    invert: bool = False
    output_mode: str = "int"
    sparse: bool = False
    pad_to_max_tokens: bool = False
    oov_method: str = "floormod"
    salt: object = None
    name: ForBase = None

    def _check_fields(self, idf_weights):
        if self.vocabulary_dtype != "int64":
            raise ValueError(f"`vocabulary_dtype` can be 'int64' alone, not {self.vocabulary_dtype}")
        super()._check_fields(idf_weights)

    def _keys(self, x):
        array = read(x)
        if array.dtype.kind not in "biuf" and array.size:
            raise TypeError(f"IntegerLookup '{self.name}' works on integers. Received an array of dtype {array.dtype}.")
        return array.astype("int64")

    def _parsed(self, lines):
        return [int(line) for line in lines]

    def get_config(self):
        config = super().get_config()
        return {**config, **{key: None if config[key] is None else int(config[key]) for key in ("oov_token", "mask_token")}}
