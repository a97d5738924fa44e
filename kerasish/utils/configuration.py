"""Config: a dictionary whose keys are attributes (``keras.utils.Config``)."""

import json


class Config:
    """Settings as attributes and as items, which can be frozen (``keras.utils.Config``).

    A frozen config raises ValueError at changes; an unknown name raises AttributeError, with the name that was perhaps meant.

    >>> config = Config(units=32)
    >>> config.rate = 0.1
    >>> config.units, config["rate"], sorted(config)
    (32, 0.1, ['rate', 'units'])
    """

    def __init__(self, **kwargs):
        object.__setattr__(self, "_config", kwargs)
        object.__setattr__(self, "_frozen", False)

    @property
    def frozen(self):
        """Whether changes are refused."""
        return self._frozen

    def freeze(self):
        """Refuse changes from now on."""
        object.__setattr__(self, "_frozen", True)

    def unfreeze(self):
        """Allow changes again."""
        object.__setattr__(self, "_frozen", False)

    def _changeable(self):
        if self._frozen:
            raise ValueError("This config is frozen: its attributes stay as they are.")
        return self._config

    def as_dict(self):
        """The settings as a dictionary of their own."""
        return dict(self._config)

    def to_json(self):
        """The settings as JSON text."""
        return json.dumps(self._config)

    def keys(self):
        """The names, in the order in which they came."""
        return self._config.keys()

    def values(self):
        """The values."""
        return self._config.values()

    def items(self):
        """Pairs of name and value."""
        return self._config.items()

    def pop(self, *args):
        """Take a setting out, as ``dict.pop``."""
        return self._changeable().pop(*args)

    def update(self, *args, **kwargs):
        """Add and replace settings, as ``dict.update``."""
        return self._changeable().update(*args, **kwargs)

    def get(self, keyname, value=None):
        """A setting, or ``value`` where there is none of that name."""
        return self._config.get(keyname, value)

    def __setattr__(self, name, value):
        if hasattr(type(self), name):
            raise AttributeError(f"'{name}' is part of Config itself: set it as an item, config['{name}'].")
        self._changeable()[name] = value

    def __getattr__(self, name):
        if name.startswith("__") or name in ("_config", "_frozen"):  # of an object that is not made yet: copy, pickle
            raise AttributeError(name)
        if name in self._config:
            return self._config[name]
        import difflib

        close = difflib.get_close_matches(name, self._config, n=1, cutoff=0.7)
        raise AttributeError(f"Unknown attribute: '{name}'." + (f" Did you mean '{close[0]}'?" if close else ""))

    def __setstate__(self, state):
        self.__dict__.update(state)

    def __setitem__(self, key, item):
        self._changeable()[key] = item

    def __getitem__(self, key):
        return self._config[key]

    def __delitem__(self, key):
        del self._changeable()[key]

    def __contains__(self, item):
        return item in self._config

    def __iter__(self):
        return iter(sorted(self._config))

    def __len__(self):
        return len(self._config)

    def __repr__(self):
        return f"<Config {self._config}>"
