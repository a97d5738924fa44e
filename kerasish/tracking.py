"""Which variables, layers, metrics and seeds an object owns: found when they are set as attributes or put in its containers."""

import contextlib

from kerasish import tree
from kerasish.backend.autodiff.state import setting, state


def no_tracking():
    """``with`` block in which attributes are set without being owned."""
    return setting(tracking=False)


class Tracker:
    """Stores for owned objects: ``kinds`` maps a store's name to ``(test, list)``; the first test that fits takes the object."""

    def __init__(self, kinds):
        self.kinds, self.locked = kinds, None
        self._known = set()  # ids of all that is in the stores

    def track(self, value):
        """The value, owned from now on; containers come back as ones that watch what is put in later."""
        if not state.tracking or isinstance(value, (str, bytes, int, float, type(None))):
            return value
        for fits, store in self.kinds.values():
            if fits(value):
                self._add(store, value)
                return value
        wrapper = _WRAPPERS.get(type(value))
        if wrapper is not None:
            return wrapper(value, self)
        if isinstance(value, tuple):
            items = [self.track(item) for item in value]
            return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
        return value

    def _add(self, store, value):
        if len(self._known) != sum(len(other) for _, other in self.kinds.values()):  # somebody changed a store directly
            self._known = {id(known) for _, other in self.kinds.values() for known in other}
        if id(value) in self._known:
            return
        if self.locked:
            raise ValueError(self.locked)
        store.append(value)
        self._known.add(id(value))

    def untrack(self, value):
        """Own it, or what is in it, no more."""
        if isinstance(value, (list, tuple, set, dict)):
            for item in value.values() if isinstance(value, dict) else value:
                self.untrack(item)
        if id(value) in self._known:
            for _, store in self.kinds.values():
                store[:] = [known for known in store if known is not value]
            self._known.discard(id(value))

    @contextlib.contextmanager
    def unlocked(self):
        """Block in which new state may be added to a locked object."""
        message, self.locked = self.locked, None
        try:
            yield
        finally:
            self.locked = message


class TrackedList(list):
    """A list whose items are owned by the tracker's object."""

    def __init__(self, values=(), tracker=None):
        self.tracker = tracker
        super().__init__(self._own(value) for value in values)

    def _own(self, value):
        return self.tracker.track(value) if self.tracker else value

    def _disown(self, value):
        if self.tracker:
            self.tracker.untrack(value)

    def append(self, value):
        super().append(self._own(value))

    def insert(self, index, value):
        super().insert(index, self._own(value))

    def extend(self, values):
        super().extend(self._own(value) for value in values)

    def __iadd__(self, values):
        self.extend(values)
        return self

    def __setitem__(self, key, value):
        super().__setitem__(key, [self._own(v) for v in value] if isinstance(key, slice) else self._own(value))

    def remove(self, value):
        self._disown(value)
        super().remove(value)

    def pop(self, index=-1):
        value = super().pop(index)
        self._disown(value)
        return value

    def clear(self):
        for value in self:
            self._disown(value)
        super().clear()

    def __delitem__(self, key):
        for value in self[key] if isinstance(key, slice) else [self[key]]:
            self._disown(value)
        super().__delitem__(key)

    def __reduce__(self):
        return list, (list(self),)


class TrackedDict(dict):
    """A dict whose values are owned by the tracker's object."""

    def __init__(self, values=(), tracker=None):
        self.tracker = tracker
        super().__init__()
        self.update(values)

    def __setitem__(self, key, value):
        super().__setitem__(key, self.tracker.track(value) if self.tracker else value)

    def update(self, *args, **kwargs):
        for key, value in dict(*args, **kwargs).items():
            self[key] = value

    def __ior__(self, other):
        self.update(other)
        return self

    def setdefault(self, key, default=None):
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, key, *default):
        value = super().pop(key, *default)
        if self.tracker:
            self.tracker.untrack(value)
        return value

    def popitem(self):
        key = next(reversed(self))
        return key, self.pop(key)

    def clear(self):
        for key in list(self):
            self.pop(key)

    def __delitem__(self, key):
        self.pop(key)

    def __reduce__(self):
        return dict, (dict(self),)


class TrackedSet(set):
    """A set whose items are owned by the tracker's object."""

    def __init__(self, values=(), tracker=None):
        self.tracker = tracker
        super().__init__()
        self.update(values)

    def add(self, value):
        super().add(self.tracker.track(value) if self.tracker else value)

    def update(self, values):
        for value in values:
            self.add(value)

    def __ior__(self, values):
        self.update(values)
        return self

    def discard(self, value):
        if value in self:
            self.remove(value)

    def pop(self):
        value = next(iter(self))
        self.remove(value)
        return value

    def clear(self):
        for value in list(self):
            self.remove(value)

    def remove(self, value):
        super().remove(value)
        if self.tracker:
            self.tracker.untrack(value)

    def __reduce__(self):
        return set, (set(self),)


_WRAPPERS = {list: TrackedList, dict: TrackedDict, set: TrackedSet}
tree.register(TrackedList, lambda x: (list(x), None), lambda _, items: list(items))
tree.register_like(TrackedDict, dict)
