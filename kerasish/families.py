"""Families of classes that layers name by strings, such as ``keras.initializers``: what ``get`` and ``deserialize`` share."""

import inspect

from kerasish.loading import brief
from kerasish.saveable import deserialize_keras_object, get_registered_object, registry


def register_names(module, names):
    """Let files and layers say a class of ``module`` by each of the ``names``, a dict such as the module's ``globals()``."""
    for name, obj in names.items():
        if inspect.isclass(obj) and getattr(obj, "keras_module", None) == module:
            registry.add(module, name, obj)


def deserialize_in(module, config, custom_objects=None):
    """The object of a config or a name; one that names no module, as Keras 2 wrote it, means a class of this ``module``."""
    config = {"class_name": config, "config": {}} if isinstance(config, str) else config
    if not isinstance(config, dict):
        raise TypeError(f"Expected a config (a dict) or a name of {module}. Received: {brief(config)}")
    return deserialize_keras_object(config if config.get("module") else {**config, "module": module}, custom_objects)


def resolve(module, what, identifier):
    """What a layer's argument means: a name, a config, a class, an object or a callable; None stays None.

    ``what`` says in the ValueError what was looked for.
    """
    obj = identifier
    if isinstance(obj, str):
        obj = get_registered_object(obj) or registry.find(module, obj)
    elif isinstance(obj, dict):
        name = obj.get("class_name")
        named = obj.get("module") or obj.get("registered_name") or get_registered_object(name) or registry.find(module, name)
        obj = deserialize_in(module, obj) if named else None
    if inspect.isclass(obj):
        obj = obj()
    if identifier is not None and not callable(obj):
        raise ValueError(f"Could not interpret {what} identifier: {identifier}")
    return obj
