"""Global settings: default float type, epsilon, image layout, and which arrays to run on (``keras.config``)."""

import json
import os

_FLOATS = ("float16", "bfloat16", "float32", "float64")
_LAYOUTS = ("channels_last", "channels_first")
_BACKENDS = ("numpy", "cupy")


def _home():
    return os.environ.get("KERAS_HOME") or os.path.join(os.path.expanduser("~"), ".keras")


def _from_file():
    """Values of Keras's own ``keras.json``, so that both libraries read one file; a broken file is ignored as Keras does."""
    try:
        with open(os.path.join(_home(), "keras.json")) as file:
            values = json.load(file)
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


_settings = {
    "floatx": "float32",
    "epsilon": 1e-7,
    "image_data_format": "channels_last",
    "backend": os.environ.get("KERASISH_BACKEND"),  # None: what is there, see backend/arrays
    "flash_attention": None,
    "traceback_filtering": True,
    "interactive_logging": True,
    "max_epochs": None,
    "max_steps_per_epoch": None,
}


class _Changes:
    """Counts changes of settings and of attributes of layers, optimizers and variables: a plan looks whether any happened."""

    count = 0


_changes = _Changes()
_on_floatx: list = []  # functions that are called when floatx changes: other rooms with dtypes at hand add theirs
_on_backend: list = []  # and with the name of a backend that is to be used


def floatx():
    """The default float dtype, a string (``keras.config.floatx``).

    >>> floatx()
    'float32'
    """
    return _settings["floatx"]


def set_floatx(value):
    """Set the default float dtype: float16, bfloat16, float32 or float64 (``keras.config.set_floatx``)."""
    if value not in _FLOATS:
        raise ValueError(f"Unknown `floatx` value: {value!r}. Expected one of {_FLOATS}")
    _settings["floatx"] = str(value)
    _changes.count += 1
    for forget in _on_floatx:
        forget()


def epsilon():
    """The small number that keeps divisions and logarithms finite (``keras.config.epsilon``)."""
    return _settings["epsilon"]


def set_epsilon(value):
    """Set :func:`epsilon` (``keras.config.set_epsilon``)."""
    _settings["epsilon"] = float(value)
    _changes.count += 1


def image_data_format():
    """``"channels_last"`` or ``"channels_first"`` (``keras.config.image_data_format``)."""
    return _settings["image_data_format"]


def set_image_data_format(data_format):
    """Set the default image layout (``keras.config.set_image_data_format``)."""
    _settings["image_data_format"] = standardize_data_format(data_format)
    _changes.count += 1


def standardize_data_format(data_format):
    """The layout as a checked string; None means the default."""
    if data_format is None:
        return image_data_format()
    data_format = str(data_format).lower()
    if data_format not in _LAYOUTS:
        raise ValueError(f"The `data_format` argument must be one of {set(_LAYOUTS)}. Received: data_format={data_format}")
    return data_format


def backend():
    """Name of the array library in use, ``"numpy"`` or ``"cupy"`` (``keras.config.backend``)."""
    return _settings["backend"]


def set_backend(backend):
    """Run on the array library of this name, ``"numpy"`` or ``"cupy"``, from now on (``keras.config.set_backend``).

    To be called before any model, variable or tensor is made: those stay in the library that made them. ValueError for another name,
    ImportError or RuntimeError where CuPy or a GPU is missing, which say what to install.

    >>> set_backend("numpy")
    """
    if backend not in _BACKENDS:
        raise ValueError(f"The backend must be one of {_BACKENDS}. Received: {backend!r}")
    if backend != _settings["backend"]:
        for change in _on_backend:
            change(backend)
    _settings["backend"] = backend
    _changes.count += 1


def is_nnx_enabled():
    """Whether Flax's NNX is in use: never here (``keras.config.is_nnx_enabled``)."""
    return False


def is_flash_attention_enabled():
    """Whether flash attention was asked for: True, False, or None where nobody said (``keras.config``)."""
    return _settings["flash_attention"]


def enable_flash_attention():
    """Ask for the memory-saving attention kernel (``keras.config.enable_flash_attention``)."""
    _settings["flash_attention"] = True


def disable_flash_attention():
    """Refuse the memory-saving attention kernel (``keras.config.disable_flash_attention``)."""
    _settings["flash_attention"] = False


def enable_traceback_filtering():
    """Show users their own frames first in tracebacks (``keras.config.enable_traceback_filtering``)."""
    _settings["traceback_filtering"] = True


def disable_traceback_filtering():
    """Show whole tracebacks (``keras.config.disable_traceback_filtering``)."""
    _settings["traceback_filtering"] = False


def is_traceback_filtering_enabled():
    """Whether tracebacks are shortened (``keras.config.is_traceback_filtering_enabled``)."""
    return _settings["traceback_filtering"]


def enable_interactive_logging():
    """Print progress to the terminal (``keras.config.enable_interactive_logging``)."""
    _settings["interactive_logging"] = True


def disable_interactive_logging():
    """Send progress to Python's ``logging`` instead (``keras.config.disable_interactive_logging``)."""
    _settings["interactive_logging"] = False


def is_interactive_logging_enabled():
    """Whether progress goes to the terminal (``keras.config.is_interactive_logging_enabled``)."""
    return _settings["interactive_logging"]


def _limit(name, value):
    if value is not None and (not isinstance(value, int) or value < 1):
        raise ValueError(f"`{name}` must be None or a positive integer. Received: {value!r}")
    _settings[name] = value


def set_max_epochs(max_epochs):
    """Cap the epochs of every ``fit``; None removes the cap (``keras.config.set_max_epochs``)."""
    _limit("max_epochs", max_epochs)


def set_max_steps_per_epoch(max_steps_per_epoch):
    """Cap the steps of every epoch; None removes the cap (``keras.config.set_max_steps_per_epoch``)."""
    _limit("max_steps_per_epoch", max_steps_per_epoch)


def max_epochs():
    """The cap on epochs, or None (``keras.config.max_epochs``)."""
    return _settings["max_epochs"]


def max_steps_per_epoch():
    """The cap on steps per epoch, or None (``keras.config.max_steps_per_epoch``)."""
    return _settings["max_steps_per_epoch"]


def _read_file_and_environment():
    setters = {"floatx": set_floatx, "epsilon": set_epsilon, "image_data_format": set_image_data_format}
    for name, value in _from_file().items():
        if name in setters:
            setters[name](value)
    for name, setter in (("KERAS_MAX_EPOCHS", set_max_epochs), ("KERAS_MAX_STEPS_PER_EPOCH", set_max_steps_per_epoch)):
        if name in os.environ:
            setter(int(os.environ[name]))
    if _settings["backend"]:
        set_backend(_settings["backend"])


_read_file_and_environment()
