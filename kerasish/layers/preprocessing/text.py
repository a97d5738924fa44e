"""Texts as rows of numbers: standardized, split into tokens, joined to n-grams and looked up."""

import re
import string

import numpy as np

from kerasish.backend.autodiff.op import as_tensor
from kerasish.backend.autodiff.tensor import Tensor
from kerasish.layers.preprocessing.encoding import OUTPUT_MODES, check_output_mode, refuse_sparse
from kerasish.layers.preprocessing.lookup import StringLookup, batches_of, refuse_file
from kerasish.layers.preprocessing.strings import HostLayer, decode, read_strings
from kerasish.saveable import ForBase, InitOnly, deserialize_keras_object

_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)  # as TensorFlow: other letters keep their case
_STRIP = str.maketrans("", "", string.punctuation)
_STANDARDIZERS = {
    None: {}, "lower": _LOWER, "strip_punctuation": _STRIP, "lower_and_strip_punctuation": {**_LOWER, **_STRIP},
}  # fmt: skip
_SPLITTERS = {"whitespace": re.compile(r"\S+", re.ASCII).findall, "character": list}


class TextVectorization(HostLayer):
    """Texts as rows of token numbers, or as one vector each (``keras.layers.TextVectorization``).

    Each text is standardized, split into tokens, joined to ``ngrams`` and looked up in a vocabulary that is given or learned with
    ``adapt``. ``standardize`` and ``split`` may be functions of an array of strings; that of ``split`` returns a list of tokens for
    each. ``output_mode="int"`` pads with 0 to the longest text, or to ``output_sequence_length``; "multi_hot", "count" and "tf_idf"
    give vectors. Works on values, so not inside a recorded step.

    >>> layer = TextVectorization(vocabulary=["earth", "wind", "and", "fire"])
    >>> layer(["Earth, wind & fire!", "fire and ice"]).tolist()
    [[2, 3, 5], [5, 4, 1]]
    """

    max_tokens: int = None
    standardize: object = "lower_and_strip_punctuation"
    split: object = "whitespace"
    ngrams: object = None
    output_mode: str = "int"
    output_sequence_length: int = None
    pad_to_max_tokens: bool = False
    vocabulary: InitOnly = None
    idf_weights: InitOnly = None
    sparse: bool = False
    ragged: bool = False
    encoding: str = "utf-8"
    name: ForBase = None

    compute_dtype = property(lambda self: "string")
    variable_dtype = property(lambda self: "string")

    def _init_base(self, vocabulary_size=None, has_input_vocabulary=None, **kwargs):
        super()._init_base(**kwargs)
        self._lookup_arguments = (("vocabulary_size", vocabulary_size), ("has_input_vocabulary", has_input_vocabulary))

    def check(self, vocabulary=None, idf_weights=None):
        super().check()
        self.output_mode = {"binary": "multi_hot", "tf-idf": "tf_idf"}.get(self.output_mode, self.output_mode)
        for what, known in (("standardize", list(filter(None, _STANDARDIZERS))), ("split", list(_SPLITTERS))):
            value = getattr(self, what)
            if not (value is None or callable(value) or value in known):
                raise ValueError(
                    f"Unknown value for `{what}` argument of TextVectorization. Allowed values are: {known}, None or a function. "
                    f"Received: {what}={value}"
                )
        check_output_mode(self, (*OUTPUT_MODES, "tf_idf"))
        refuse_sparse(self, "ragged")
        self._check_sizes()
        self._lookup_layer = StringLookup(
            self.max_tokens, mask_token="", vocabulary=vocabulary, idf_weights=idf_weights, output_mode=self.output_mode,
            pad_to_max_tokens=self.pad_to_max_tokens, encoding=self.encoding, **dict(self._lookup_arguments),
        )  # fmt: skip

    def _check_sizes(self):
        if not (
            self.ngrams is None
            or isinstance(self.ngrams, int)
            or (isinstance(self.ngrams, tuple) and all(isinstance(n, int) for n in self.ngrams))
        ):
            raise ValueError(f"`ngrams` is None, an integer or several in a tuple, not {self.ngrams}")
        length = self.output_sequence_length
        if self.output_mode == "int" and not (length is None or isinstance(length, int)):
            raise ValueError(f"With `output_mode='int'`, `output_sequence_length` is None or an integer, not {length}")
        if self.output_mode != "int" and length is not None:
            raise ValueError(f"`output_sequence_length` must not be set if `output_mode` is not 'int'. It is {length}.")

    _has_input_vocabulary = property(lambda self: self._lookup_layer._has_input_vocabulary)

    def build(self, input_shape=None):
        """Nothing depends on the input's shape."""

    # ---- texts to tokens
    def _tokens(self, texts):
        """A list of tokens for each text, and the texts' shape."""
        texts = self._standardized(texts)
        if self.split is None:
            texts = texts.reshape(-1) if texts.ndim == 0 else texts
            rows, shape = texts.reshape(-1, texts.shape[-1]).tolist(), texts.shape[:-1]
        else:
            shape = self._texts_shape(texts.shape)
            rows = self._rows(texts.reshape(shape))
        return [self._with_ngrams(row) for row in rows], shape

    def _texts_shape(self, shape):
        """The shape without its last axis of size 1."""
        if len(shape) > 1 and shape[-1] != 1:
            raise ValueError(f"To tokenize, an input must be of rank 1 or its last shape dimension must be 1, but shape={tuple(shape)}")
        return tuple(shape[:-1]) if len(shape) > 1 else tuple(shape)

    def _standardized(self, texts):
        if isinstance(texts, (list, tuple, np.ndarray)) and self.encoding.lower() not in ("utf-8", "utf8"):
            texts = decode(np.asarray(texts), self.encoding)
        texts = read_strings(texts, f"TextVectorization '{self.name}'")
        if callable(self.standardize):
            return read_strings(self.standardize(texts), f"The function `standardize` of TextVectorization '{self.name}'")
        table = _STANDARDIZERS[self.standardize]
        if not table:
            return texts
        return np.array([text.translate(table) for text in texts.ravel().tolist()], dtype=str).reshape(texts.shape)

    def _rows(self, texts):
        if not callable(self.split):
            return [_SPLITTERS[self.split](text) for text in texts.ravel().tolist()]
        rows = [[str(token) for token in row] for row in self.split(texts.reshape(-1))]
        if len(rows) != texts.size:
            raise ValueError(
                f"The function `split` must return a list of tokens for each of the {texts.size} strings it gets, it returned {len(rows)}."
            )
        return rows

    def _with_ngrams(self, tokens):
        if self.ngrams is None:
            return tokens
        widths = range(1, self.ngrams + 1) if isinstance(self.ngrams, int) else self.ngrams
        return [" ".join(tokens[i : i + n]) for n in widths for i in range(len(tokens) - n + 1)]

    # ---- the call
    def call(self, inputs):
        if self._known(inputs):
            return self._lookup_layer.encoded(as_tensor(self._indices(*self._tokens(inputs))))
        shape = tuple(inputs.shape) if self.split is None else (*self._texts_shape(inputs.shape), None)
        if self.ngrams is not None or self.output_sequence_length is not None:
            shape = (*shape[:-1], self.output_sequence_length)
        return self._lookup_layer.encoded(Tensor(None, shape, "int64"))

    def _indices(self, rows, shape):
        """The rows' indices as an array, padded at the end."""
        lengths = np.array([len(row) for row in rows], dtype="int64")
        width = int(lengths.max(initial=0))
        found = self._lookup_layer.indices(np.array([token for row in rows for token in row], dtype=str))
        padded = np.full((len(rows), width), self._lookup_layer.padding)
        padded[np.arange(width) < lengths[:, None]] = found
        length = self.output_sequence_length
        if length is not None:
            padded = np.pad(padded, ((0, 0), (0, max(length - width, 0))))[:, :length]
        return padded.reshape(*shape, padded.shape[1])

    # ---- the vocabulary
    def adapt(self, data, batch_size=None, steps=None):
        """Learn the vocabulary from texts in an array, a list, or batches (``steps``: only so many).

        ``batch_size`` says how many texts of an array are worked on at once; the vocabulary is the same.
        """
        self.reset_state()
        for batch in batches_of(data, steps, lambda x: read_strings(x, f"TextVectorization '{self.name}'")):
            size = batch_size if isinstance(data, (list, tuple, np.ndarray)) and batch_size else max(len(batch), 1)
            for start in range(0, len(batch), size):
                self.update_state(batch[start : start + size])
        self.finalize_state()

    def update_state(self, data):
        """Count the tokens of one batch of texts."""
        rows, _ = self._tokens(data)
        self._lookup_layer.count(rows)

    def finalize_state(self):
        """Make a vocabulary of what was counted."""
        self._lookup_layer.finalize_state()

    def reset_state(self):
        """Forget what was counted."""
        self._lookup_layer.reset_state()

    def get_vocabulary(self, include_special_tokens=True):
        """The tokens by index, with or without those for padding and for what is out of vocabulary."""
        return self._lookup_layer.get_vocabulary(include_special_tokens)

    def vocabulary_size(self):
        """How many indices there are, those of padding and of tokens out of vocabulary among them."""
        return self._lookup_layer.vocabulary_size()

    def set_vocabulary(self, vocabulary, idf_weights=None):
        """Take the given vocabulary: a list, an array, or the name of a text file with one token a line."""
        self._lookup_layer.set_vocabulary(vocabulary, idf_weights)

    # ---- config and files
    def get_config(self):
        return {**super().get_config(), **self._lookup_layer.vocabulary_config(), "vocabulary_size": self.vocabulary_size()}

    @classmethod
    def from_config(cls, config):
        refuse_file(config.get("vocabulary"))
        config = dict(config)
        for name in ("standardize", "split"):
            if not isinstance(config.get(name), (str, type(None))):
                config[name] = deserialize_keras_object(config[name])
        if isinstance(config.get("ngrams"), list):
            config["ngrams"] = tuple(config["ngrams"])
        return super().from_config(config)

    has_assets = property(lambda self: self._lookup_layer.has_assets)

    def save_own_variables(self, store):
        self._lookup_layer.save_own_variables(store)

    def load_own_variables(self, store):
        self._lookup_layer.load_own_variables(store)

    def save_assets(self, dir_path):
        self._lookup_layer.save_assets(dir_path)

    def load_assets(self, dir_path):
        self._lookup_layer.load_assets(dir_path)
