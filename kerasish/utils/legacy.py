"""Configs as Keras 2 wrote them: ``{"class_name": ..., "config": ...}`` (``keras.utils.legacy``)."""

import inspect

from kerasish.saveable import CustomObjectScope, get_custom_objects, get_registered_name, get_registered_object

__all__ = ["deserialize_keras_object", "serialize_keras_object"]

_NESTED = "__passive_serialization__"  # marks a config inside a config


def serialize_keras_object(instance):
    """The name of a function or class, or class name and config of an object (``keras.utils.legacy.serialize_keras_object``).

    ValueError for what has neither a name nor a ``get_config``.

    >>> from kerasish import regularizers
    >>> serialize_keras_object(regularizers.L1(0.5))
    {'class_name': 'L1', 'config': {'l1': 0.5}}
    """
    instance = inspect.unwrap(instance) if callable(instance) else instance
    if instance is None:
        return None
    if hasattr(instance, "get_config"):
        config = {name: _part(value) for name, value in instance.get_config().items()}
        return {"class_name": get_registered_name(type(instance)), "config": config}
    if hasattr(instance, "__name__"):
        return get_registered_name(instance)
    raise ValueError(f"Cannot serialize {instance} because it doesn't implement `get_config()`.")


def _part(value):
    if isinstance(value, str):
        return value
    try:
        config = serialize_keras_object(value)
    except ValueError:
        return value
    return {**config, _NESTED: True} if isinstance(config, dict) else config


def deserialize_keras_object(identifier, module_objects=None, custom_objects=None, printable_module_name="object"):
    """The object of such a config or name, found in ``module_objects``, ``custom_objects`` or among registered ones.

    A class named alone is called without arguments. ValueError for unknown names (``keras.utils.legacy``).

    >>> from kerasish import regularizers
    >>> config = {"class_name": "L1", "config": {"l1": 0.5}}
    >>> deserialize_keras_object(config, module_objects=vars(regularizers)).get_config()
    {'l1': 0.5}
    """
    if identifier is None or inspect.isfunction(identifier):
        return identifier
    found = (module_objects, custom_objects, printable_module_name)
    if isinstance(identifier, str):
        made = _named(identifier, *found)
        return made() if inspect.isclass(made) else made
    if not isinstance(identifier, dict):
        raise ValueError(f"Could not interpret serialized {printable_module_name}: {identifier}")
    if not {"class_name", "config"} <= set(identifier):
        raise ValueError(f"Improper config format for {identifier}: a dict with the keys `class_name` and `config` is expected.")
    cls, config = _named(identifier["class_name"], *found), identifier["config"]
    if isinstance(config, dict):
        config = {name: value if name == "name" else _revived(value, module_objects, custom_objects) for name, value in config.items()}
    if not hasattr(cls, "from_config"):
        with CustomObjectScope(custom_objects or {}):
            return cls(**config)
    if "custom_objects" in inspect.getfullargspec(cls.from_config).args:
        return cls.from_config(config, custom_objects={**get_custom_objects(), **(custom_objects or {})})
    with CustomObjectScope(custom_objects or {}):
        return cls.from_config(config)


def _named(name, module_objects, custom_objects, what):
    found = get_registered_object(name, custom_objects, module_objects)
    if found is None:
        raise ValueError(
            f"Unknown {what}: '{name}'. Define it inside a `keras.utils.custom_object_scope`, or pass it in `custom_objects`."
        )
    return found


def _revived(value, module_objects, custom_objects):
    if isinstance(value, dict) and _NESTED in value:
        return deserialize_keras_object(value, module_objects, custom_objects, "config_item")
    if isinstance(value, str) and inspect.isfunction(function := get_registered_object(value, custom_objects, module_objects)):
        return function
    return value
