"""What a file may name: the registry, classes whose annotated fields are their constructor and config, and (de)serialization.

A class's annotated fields are its constructor, its config and its documentation::

    class Dense(Layer):
        units: int
        activation: Activation = None

gives ``Dense(units, activation=None, **kwargs)``, ``get_config`` and ``from_config``. Through two gates alone a name
in a file becomes an object: the registry, and the user's own classes of this kind in modules that are imported already. Nothing is
ever imported by name.
"""

import base64
import builtins
import contextlib
import inspect
import marshal
import sys
import threading
import types
import typing
import warnings
from inspect import Parameter

import numpy as np

from kerasish.loading import brief, is_marked, loading, mark, spend

_PLAIN = (str, int, float, bool)
_EMPTY = Parameter.empty


# ---- state that serialization needs: who is registered, which scopes are open
class _State(threading.local):
    def __init__(self):
        self.custom_objects = {}
        self.shared_by_id = None  # shared_object_id -> object, while loading
        self.config_by_object = None  # id(object) -> (object, config), while saving
        self.safe_mode = None


_state = _State()
_custom_by_name: dict = {}
_name_by_custom: dict = {}
_unsafe_enabled = False


class _Later(typing.NamedTuple):
    make: typing.Callable


class Registry:
    """Built-in classes and functions under the names that Keras's files use: ``(namespace, name) -> object``."""

    def __init__(self):
        self.objects = {}

    def add(self, module, name, obj):
        self.objects[namespace(module), name] = obj

    def add_later(self, module, name, make):
        """Register what ``make()`` gives, made when somebody first asks for it."""
        self.objects[namespace(module), name] = _Later(make)

    def find(self, module, name):
        """The object that ``module`` and ``name`` mean, or None. Old files name private modules: only the family counts."""
        return self._made((namespace(module), name))

    def named(self, name):
        """All objects of that name whatever their family, for Keras 2 files, which name no module."""
        return [self._made(key) for key in list(self.objects) if key[1] == name]

    def _made(self, key):
        obj = self.objects.get(key)
        if isinstance(obj, _Later):
            obj = self.objects[key] = obj.make()
        return obj


registry = Registry()
_FAMILIES = {
    "models": "models", "engine": "models", "optimizers": "optimizers", "schedules": "optimizers", "rnn": "layers",
    "dtype_policies": "dtype_policies", "mixed_precision": "dtype_policies",
}  # fmt: skip
_TOP_LEVEL = {"DTypePolicy", "FloatDTypePolicy", "Functional", "Sequential", "Model"}


def namespace(module):
    """Family of a module path: ``keras.src.layers.core.dense`` and ``keras.layers`` are both ``layers``."""
    parts = [part for part in (module or "").split(".") if part not in ("keras", "kerasish", "src", "_tf_keras", "tf_keras")]
    if not parts:
        return "models"  # Keras exports Sequential, Model and DTypePolicy at its top level
    return _FAMILIES.get(parts[0], parts[0])


# ---- names that users register
def register_keras_serializable(package="Custom", name=None):
    """Decorator that lets files name a class or function of yours as ``package>name`` (``keras.saving``).

    >>> @register_keras_serializable("docs")
    ... def double(x):
    ...     return 2 * x
    >>> get_registered_name(double)
    'docs>double'
    """

    def decorator(obj):
        registered = f"{package}>{name or obj.__name__}"
        if inspect.isclass(obj) and not hasattr(obj, "get_config"):
            raise ValueError("Cannot register a class that does not have a get_config() method.")
        _custom_by_name[registered] = obj
        _name_by_custom[obj] = registered
        return obj

    return decorator


def get_registered_name(obj):
    """The name under which ``obj`` was registered, else its own name (``keras.saving.get_registered_name``)."""
    try:
        return _name_by_custom.get(obj) or obj.__name__
    except TypeError:  # unhashable
        return obj.__name__


def get_registered_object(name, custom_objects=None, module_objects=None):
    """The object registered as ``name`` in the open scopes, the registrations or the given dicts, else None."""
    for known in (_state.custom_objects, _custom_by_name, custom_objects or {}, module_objects or {}):
        if name in known:
            return known[name]
    return None


def get_custom_objects():
    """The dictionary of globally registered objects, which may be changed in place (``keras.saving.get_custom_objects``)."""
    return _custom_by_name


class CustomObjectScope:
    """``with`` block in which the given names mean the given objects (``keras.saving.custom_object_scope``).

    >>> with CustomObjectScope({"mine": len}):
    ...     get_registered_object("mine") is len
    True
    """

    def __init__(self, custom_objects):
        self.custom_objects = custom_objects or {}

    def __enter__(self):
        self.backup = _state.custom_objects
        _state.custom_objects = {**self.backup, **self.custom_objects}
        return self

    def __exit__(self, *exc):
        _state.custom_objects = self.backup


custom_object_scope = CustomObjectScope


def enable_unsafe_deserialization():
    """Let every load run the Python code that a file carries in Lambda layers (``keras.config``). Only for trusted files."""
    global _unsafe_enabled
    _unsafe_enabled = True


@contextlib.contextmanager
def safe_mode_scope(safe_mode):
    """What nested loads inherit, so that a file can't turn the check off for its own parts."""
    backup, _state.safe_mode = _state.safe_mode, safe_mode
    try:
        yield
    finally:
        _state.safe_mode = backup


def in_safe_mode(default=True):
    """Whether code in files is refused right now."""
    if _unsafe_enabled:
        return False
    return default if _state.safe_mode is None else _state.safe_mode


@contextlib.contextmanager
def object_sharing_scope():
    """Within this block an object that is reached twice is saved, or loaded, once."""
    backup = _state.shared_by_id, _state.config_by_object
    _state.shared_by_id, _state.config_by_object = {}, {}
    try:
        yield
    finally:
        _state.shared_by_id, _state.config_by_object = backup


# ---- fields: a class's annotations are its constructor and its config
class Field(typing.NamedTuple):
    name: str
    annotation: object
    default: object

    def convert(self, value):
        get, _ = converters.get(self.annotation, (None, None))
        return value if get is None else get(value)

    def serialize(self, value):
        _, serialize = converters.get(self.annotation, (None, None))
        return (serialize or serialize_keras_object)(value)


class InitOnly:
    """Annotation of a constructor's parameter that is neither attribute nor config: ``check`` gets it by name."""


class ForBase:
    """Annotation of a constructor's parameter that the family's base takes, such as ``name``: listed to have its place."""


class Fixed:
    """Default of a field that the constructor alone sets: ``x: int = Fixed(0)``; the class itself may change ``self._x``."""

    def __init__(self, default):
        self.default = default

    def __set_name__(self, owner, name):
        self.name, self.kept_as = name, f"_{name}"

    def __get__(self, obj, owner=None):
        if obj is None:
            return self
        if self.kept_as not in vars(obj):
            raise AttributeError(f"{type(obj).__name__} has no `{self.name}` before `super().__init__()` was called.")
        return vars(obj)[self.kept_as]

    def __set__(self, obj, value):
        if self.kept_as in vars(obj):
            raise AttributeError(f"`{self.name}` of {type(obj).__name__} can't be changed: give it to the constructor.")
        vars(obj)[self.kept_as] = value


# annotation -> (what makes a field's value of what the user gave, what makes its config); families add theirs
converters: dict = {}


@typing.dataclass_transform(eq_default=False)
class Saveable:
    """Base of everything that a file may name. See the module's own description.

    Subclasses inside kerasish are registered under ``keras_module``, the name that Keras's files use for them.
    A class with an ``__init__`` of its own works as in Keras and takes no part in fields.
    """

    fields: typing.ClassVar[dict] = {}
    keras_module: typing.ClassVar[str] = None
    built: typing.ClassVar[bool] = True

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if cls.__module__.startswith("kerasish.") and cls.keras_module and not cls.__name__.startswith("_"):
            registry.add(cls.keras_module, cls.__name__, cls)
        if "__init__" in vars(cls):
            return
        own = {
            name: Field(name, annotation, vars(cls).get(name, _EMPTY))
            for name, annotation in vars(cls).get("__annotations__", {}).items()
            if typing.get_origin(annotation) is not typing.ClassVar and not name.startswith("_")
        }
        if not own:
            return
        cls.fields = cls._order_fields(own)
        cls.__init__ = _constructor(cls)

    @classmethod
    def _fixing(cls, name):
        """The bases for which this field is fixed."""
        return [base for base in cls.__mro__[1:] if isinstance(vars(base).get(name), Fixed)]

    @classmethod
    def _order_fields(cls, own):
        """All fields in the constructor's order: required ones first; own ones, then inherited ones; redeclared ones keep their place."""
        for name, field in own.items():
            if isinstance(field.default, Fixed):
                own[name] = field._replace(default=field.default.default)
            elif name in vars(cls) and (field.annotation in (InitOnly, ForBase) or cls._fixing(name)):
                delattr(cls, name)  # the default must not hide an attribute of that name
        new = {name: field for name, field in own.items() if name not in cls.fields}
        fields = {**new, **cls.fields, **{n: f for n, f in own.items() if n in cls.fields}}
        return dict(sorted(fields.items(), key=lambda item: item[1].default is not _EMPTY))  # required ones come first

    def _init_base(self, **kwargs):
        """What the family's base wants of the keyword arguments that are no fields; families override it."""
        if kwargs:
            raise TypeError(f"{type(self).__name__}.__init__() got unexpected keyword arguments: {sorted(kwargs)}")

    def check(self):
        """Called when all fields are set: raise ValueError for values that make no sense together."""

    def get_config(self):
        """Constructor arguments as JSON-ready values."""
        kept = {name: field for name, field in self.fields.items() if field.annotation not in (InitOnly, ForBase)}
        return {name: field.serialize(getattr(self, name)) for name, field in kept.items()}

    @classmethod
    def from_config(cls, config):
        """Make an object from what ``get_config`` returned."""
        return cls(**config)


def _constructor(cls):
    parameters = [Parameter(f.name, Parameter.POSITIONAL_OR_KEYWORD, default=f.default) for f in cls.fields.values()]
    accepts_more = cls._init_base is not Saveable._init_base
    if accepts_more:
        parameters.append(Parameter("kwargs", Parameter.VAR_KEYWORD))
    signature = inspect.Signature(parameters)
    init_only = [name for name, field in cls.fields.items() if field.annotation is InitOnly]
    for_base = [name for name, field in cls.fields.items() if field.annotation is ForBase]

    def __init__(self, *args, **kwargs):
        try:
            values = signature.bind(*args, **kwargs)
        except TypeError as e:
            name = type(self).__name__
            raise TypeError(f"{name}: {e}. Expected {name}{signature}") from None
        values.apply_defaults()
        values = values.arguments
        self._init_base(**values.pop("kwargs", {}), **{name: values.pop(name) for name in for_base})
        given = {name: values.pop(name) for name in init_only}
        for name, value in values.items():
            setattr(self, name, cls.fields[name].convert(value))
        self.check(**given)

    self_parameter = Parameter("self", Parameter.POSITIONAL_OR_KEYWORD)
    __init__.__signature__ = inspect.Signature([self_parameter, *parameters])
    __init__.__qualname__ = f"{cls.__qualname__}.__init__"
    return __init__


# ---- objects <-> configs
_by_type: dict = {}  # type -> function that makes a config; other rooms add what they know (tensors, symbolic tensors)
_by_special_name: dict = {}  # "__tensor__" and the like -> function that makes the object of its inner config


def serializes(cls, special_name=None, load=None):
    """Decorator: the function makes the config of objects of ``cls``; ``load`` makes the object of it again."""

    def decorator(function):
        _by_type[cls] = function
        if special_name:
            _by_special_name[special_name] = load
        return function

    return decorator


def serialize_keras_object(obj):
    """JSON-ready config of an object: ``{"module", "class_name", "config", "registered_name"}`` (``keras.saving``).

    >>> serialize_keras_object([1, "a", None])
    [1, 'a', None]
    """
    if obj is None or isinstance(obj, _PLAIN):
        return obj
    if isinstance(obj, (list, tuple)):
        items = [serialize_keras_object(item) for item in obj]
        return tuple(items) if isinstance(obj, tuple) else items
    if isinstance(obj, dict):
        return {key: serialize_keras_object(value) for key, value in obj.items()}
    for cls in type(obj).__mro__:
        if cls in _by_type:
            return _by_type[cls](obj)
    if isinstance(obj, types.FunctionType) or inspect.isbuiltin(obj) or inspect.isclass(obj) or hasattr(obj, "__wrapped__"):
        return _function_config(obj)
    if not hasattr(obj, "get_config"):
        raise TypeError(f"Cannot serialize object {obj!r} of type {type(obj)}: it needs a get_config() method.")
    inner = obj.get_config()
    if isinstance(inner, dict):  # users leave objects in it
        inner = {key: serialize_keras_object(value) for key, value in inner.items()}
    config = {**_identity(obj), "config": inner}
    config = {key: config[key] for key in ("module", "class_name", "config", "registered_name")}
    for part in ("build_config", "compile_config"):
        value = getattr(obj, f"get_{part}", lambda: None)()
        if value is not None:
            config[part] = {key: serialize_keras_object(item) for key, item in value.items()}
    _record_shared(obj, config)
    return config


def _identity(obj):
    cls = type(obj)
    if _is_builtin(cls):
        private = cls.keras_module.startswith("keras.src")  # what Keras does not export has its own name registered
        return {"module": cls.keras_module, "class_name": cls.__name__, "registered_name": cls.__name__ if private else None}
    module = None if cls.__module__ == "__main__" else cls.__module__
    return {"module": module, "class_name": cls.__name__, "registered_name": get_registered_name(cls)}


def _is_builtin(cls):
    module = getattr(cls, "keras_module", None)
    return module is not None and registry.find(module, cls.__name__) is cls


def _function_config(obj):
    if isinstance(obj, types.FunctionType) and obj.__name__ == "<lambda>":
        return _lambda_config(obj)
    return {"module": "builtins", "class_name": "function", "config": get_registered_name(obj), "registered_name": "function"}


def _lambda_config(obj):
    warnings.warn(
        "The object being serialized includes a `lambda`: a file keeps its bytecode, which is loaded only with `safe_mode=False`. "
        "Use a named function that is registered with `@keras.saving.register_keras_serializable()` instead.",
        stacklevel=3,
    )
    code = base64.encodebytes(marshal.dumps(obj.__code__)).decode("ascii")
    closure = None if obj.__closure__ is None else [cell.cell_contents for cell in obj.__closure__]
    return {"class_name": "__lambda__", "config": {"value": serialize_keras_object([code, obj.__defaults__, closure])}}


def _record_shared(obj, config):
    if _state.config_by_object is None:
        return
    if id(obj) in _state.config_by_object:
        _, first = _state.config_by_object[id(obj)]
        config["shared_object_id"] = first["shared_object_id"] = id(obj)
    else:
        _state.config_by_object[id(obj)] = obj, config


@serializes(bytes, "__bytes__", lambda c: c["value"].encode("utf-8"))
def _bytes(obj):
    return {"class_name": "__bytes__", "config": {"value": obj.decode("utf-8")}}


@serializes(slice, "__slice__", lambda c: slice(c["start"], c["stop"], c["step"]))
def _slice(obj):
    parts = {name: serialize_keras_object(getattr(obj, name)) for name in ("start", "stop", "step")}
    return {"class_name": "__slice__", "config": parts}


@serializes(type(Ellipsis), "__ellipsis__", lambda c: Ellipsis)
def _ellipsis(obj):
    return {"class_name": "__ellipsis__", "config": {}}


def _load_array(config):
    dtype = np.dtype(config["dtype"])
    if dtype.kind not in "biufcV" or dtype.itemsize > 16:
        raise TypeError(f"Arrays in a config hold numbers, not {brief(config['dtype'])}.")
    return np.array(config["value"], dtype=dtype)


@serializes(np.ndarray, "__numpy__", _load_array)
def _array(obj):
    return {"class_name": "__numpy__", "config": {"value": obj.tolist(), "dtype": obj.dtype.name}} if obj.ndim else obj.item()


@serializes(np.generic)
def _scalar(obj):
    return obj.item()


@serializes(np.dtype)
def _dtype(obj):
    return obj.name


def deserialize_keras_object(config, custom_objects=None, safe_mode=True, **kwargs):
    """The object that a config describes; names resolve only to built-in or registered objects (``keras.saving``).

    Raises TypeError for a config that names something unknown, ValueError where it carries code and ``safe_mode`` is on.
    """
    module_objects = kwargs.pop("module_objects", None)
    if kwargs:
        raise TypeError(f"deserialize_keras_object() got unexpected keyword arguments: {sorted(kwargs)}")
    with CustomObjectScope(custom_objects), safe_mode_scope(in_safe_mode(safe_mode)), loading() as load:
        if load is not None:
            load.take(config)
        if isinstance(config, str) and module_objects is not None and get_registered_object(config) is None:
            return module_objects.get(config, config)
        return _deserialize(config)


def _deserialize(config):
    if isinstance(config, str):
        found = get_registered_object(config)
        return config if found is None else found
    if config is None or isinstance(config, _PLAIN):
        return config
    if isinstance(config, (list, tuple)):
        return [_deserialize(item) for item in config]
    if not isinstance(config, dict):
        raise TypeError(f"Could not parse config: {brief(config)}")
    if "class_name" not in config or "config" not in config:
        return {key: _deserialize(value) for key, value in config.items()}
    try:
        return _named_object(config)
    except Exception as error:
        mark(error, config)
        raise


def _named_object(config):
    name, inner = config["class_name"], {} if config["config"] is None else config["config"]
    for key in ("class_name", "module", "registered_name"):
        if not isinstance(config.get(key), str) and (key == "class_name" or config.get(key) is not None):
            raise TypeError(f"`{key}` must be a string. Received: {brief(config[key])}. Full config: {brief(config)}")
    if name == "function":
        return _find_function(config)
    if not isinstance(inner, dict):
        raise TypeError(f"Expected 'config' to be a dict for {name}, got {type(inner)} in {brief(config)}")
    if name == "__lambda__":
        return load_lambda(inner)
    if name in _by_special_name:
        return _by_special_name[name]({key: _deserialize(value) for key, value in inner.items()})
    return _instance(config, inner)


def load_lambda(config, safe_mode=None):
    """The function whose bytecode a file holds; ValueError unless the caller trusts the file (``safe_mode=False``)."""
    if in_safe_mode() if safe_mode is None else safe_mode:
        raise ValueError(
            "This config holds a Python lambda's code, of a `Lambda` layer or another `function`: loading it means arbitrary "
            "code execution, which is disallowed by default. If you trust where it comes from, load it with `safe_mode=False`, or call "
            "`keras.config.enable_unsafe_deserialization()`."
        )
    code, defaults, closure = config["value"] if "value" in config else (config["code"], config["defaults"], config["closure"])
    code = marshal.loads(base64.decodebytes(code.encode("ascii")))
    cells = None if closure is None else tuple(types.CellType(value) for value in closure)
    return types.FunctionType(code, {"__builtins__": builtins}, code.co_name, None if defaults is None else tuple(defaults), cells)


def _instance(config, inner):
    shared = config.get("shared_object_id")
    if shared is not None and not isinstance(shared, int):
        raise TypeError(f"`shared_object_id` must be an integer. Received: {brief(shared)}")
    if shared is not None and _state.shared_by_id is not None and shared in _state.shared_by_id:
        return _state.shared_by_id[shared]
    spend("objects")
    cls = find_class(config)
    if not hasattr(cls, "from_config"):
        raise TypeError(f"Unable to reconstruct an instance of '{config['class_name']}': it has no from_config() method.")
    try:
        obj = cls.from_config(inner)
    except TypeError as e:
        if is_marked(e):  # it is about something inside
            raise
        hint = "" if _is_builtin(cls) else " Objects inside a config of one's own are explicitly deserialized in `from_config()`."
        raise TypeError(f"{cls.__name__} could not be made from its config={brief(inner)}.{hint}\n\n{e}") from e
    _restore(obj, config)
    if shared is not None and _state.shared_by_id is not None:
        _state.shared_by_id[shared] = obj
    return obj


def _restore(obj, config):
    """Build and compile an object as its file says."""
    for part in ("build_config", "compile_config"):
        given = config.get(part)
        if given is not None and not isinstance(given, dict):
            raise TypeError(f"`{part}` must be a dict. Received: {brief(given)}")
        if not given or (part == "build_config" and obj.built):
            continue
        restore = getattr(obj, part.replace("_", "_from_"), None)
        if restore is None:
            raise TypeError(f"`{part}` was given for a {type(obj).__name__}, which takes none.")
        restore(given)
        setattr(obj, "built" if part == "build_config" else "compiled", True)


def find_class(config):
    """The registered or built-in class that a config names; TypeError where there is none."""
    name, module, registered = config["class_name"], config.get("module"), config.get("registered_name")
    built_in = registry.find(module, name) if module and not registered else None
    found = None if built_in else get_registered_object(registered) or get_registered_object(name)
    if found is not None:
        return found
    candidates = [registry.find(module, name)] if module else registry.named(name)
    if name in _TOP_LEVEL:
        candidates += registry.named(name)
    for cls in candidates:
        if inspect.isclass(cls):
            if registered and registered != name:
                raise ValueError(_spoofed(name, registered, config))
            return cls
    found = _imported_class(module, name)
    if found is not None:
        return found
    raise TypeError(_unknown("class", name, module, registered))


def _imported_class(module, name):
    """The user's own class that a module which is imported already defines under this name; None if it is none that is made for files."""
    if not isinstance(module, str) or not isinstance(name, str) or module.partition(".")[0] in ("kerasish", "keras"):
        return None
    cls = vars(sys.modules.get(module, types)).get(name)
    own = inspect.isclass(cls) and issubclass(cls, Saveable) and (cls.__module__, cls.__name__) == (module, name)
    return cls if own and cls is not Saveable else None


def _find_function(config):
    name, module, registered = config["config"], config.get("module"), config.get("registered_name")
    if not isinstance(name, str):
        raise TypeError(f"Expected 'config' to be a non-null str, the function's name, got {type(name)}. Full config: {brief(config)}")
    for key in (registered if registered != "function" else None, name):
        found = get_registered_object(key)
        if found is not None:
            return found
    candidates = registry.named(name) if module in (None, "builtins") else [registry.find(module, name)]
    found = next((found for found in candidates if found is not None and not inspect.isclass(found)), None)
    if found is not None:
        if registered not in (None, "function", name):
            raise ValueError(_spoofed(name, registered, config))
        return found
    for key, custom in _custom_by_name.items():  # Keras 3.6 and before wrote no package
        if key.rpartition(">")[2] == name and not inspect.isclass(custom):
            return custom
    raise TypeError(_unknown("function", name, module, registered))


def _spoofed(name, registered, config):
    return f"`registered_name={registered!r}` was given, but '{name}' resolved to a Keras built-in. Full config: {brief(config)}"


def _unknown(kind, name, module, registered):
    return (
        f"Could not locate {kind} '{name}' (module {module!r}, registered name {registered!r}). If it is a {kind} of your own, "
        "register it with `@keras.saving.register_keras_serializable()` or pass it in `custom_objects`."
    )
