"""Nested structures: tuples, lists, dicts and the like, whose leaves are everything else (`None` included).

How a container is taken apart and put together is said once, in its `_Node`; the functions here only walk.
A class belongs to the nearest known class among its bases, so a subclass of `list` counts as a list and comes back
as a plain list. Named tuples and struct sequences (`time.struct_time`) keep their type.
"""

import warnings
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "MAP_TO_NONE",
    "assert_same_paths",
    "assert_same_structure",
    "flatten",
    "flatten_with_path",
    "is_nested",
    "lists_to_tuples",
    "map_shape_structure",
    "map_structure",
    "map_structure_up_to",
    "pack_sequence_as",
    "traverse",
]


class MAP_TO_NONE:
    """What the function given to `traverse` returns to put None in the result. Source: `keras.tree.MAP_TO_NONE`.

    >>> traverse(lambda part: MAP_TO_NONE if part == 1 else None, [1, 2])
    [None, 2]
    """


@dataclass(frozen=True, slots=True, eq=False)
class _Node:
    """One kind of container."""

    flatten: Callable[[Any], tuple[Sequence, Any]]  # container -> (children, metadata)
    unflatten: Callable[[Any, list], Any]  # (metadata, children) -> container
    keys: Callable[[Any], Sequence] = lambda container: range(len(container))  # what names the children in a path
    is_mapping: bool = False
    compares_metadata: bool = True


def _sequence(build: Callable[[list], Any]) -> _Node:
    return _Node(lambda container: (container, None), lambda _, children: build(children))


def _sorted_keys(mapping: dict) -> list:
    try:
        return sorted(mapping)
    except TypeError:
        pass
    try:  # keys of several types: group them by type
        return sorted(mapping, key=lambda key: (f"{type(key).__module__}.{type(key).__qualname__}", key))
    except TypeError:
        return list(mapping)


def _flatten_dict(mapping: dict) -> tuple[list, tuple]:
    keys = _sorted_keys(mapping)
    return [mapping[key] for key in keys], (keys, list(mapping))


def _unflatten_dict(metadata: tuple, children: list) -> dict:
    """The children come in sorted order, the dict gets its old order back."""
    keys, order = metadata
    mapping = dict.fromkeys(order)
    mapping.update(zip(keys, children, strict=True))
    return mapping


def _flatten_defaultdict(mapping: defaultdict) -> tuple[list, tuple]:
    children, metadata = _flatten_dict(mapping)
    return children, (mapping.default_factory, metadata)


_TUPLE = _sequence(tuple)

_known: dict[type, _Node] = {
    tuple: _TUPLE,
    list: _sequence(list),
    deque: _Node(
        lambda container: (container, container.maxlen),
        lambda maxlen, children: deque(children, maxlen),
        compares_metadata=False,
    ),
    dict: _Node(_flatten_dict, _unflatten_dict, _sorted_keys, is_mapping=True),
    defaultdict: _Node(
        _flatten_defaultdict,
        lambda metadata, children: defaultdict(metadata[0], _unflatten_dict(metadata[1], children)),
        _sorted_keys,
        is_mapping=True,
    ),
    OrderedDict: _Node(
        lambda mapping: (list(mapping.values()), list(mapping)),
        lambda keys, children: OrderedDict(zip(keys, children, strict=True)),
        list,
        is_mapping=True,
    ),
}


def _find_node(cls: type) -> _Node | None:
    node = next((_known[base] for base in cls.__mro__ if base in _known), None)
    if node is _TUPLE and hasattr(cls, "_fields") and hasattr(cls, "_make"):
        return _sequence(lambda children: cls(*children))
    if node is _TUPLE and hasattr(cls, "n_sequence_fields"):
        return _sequence(cls)
    return node


class _NodeOfType(dict):
    """Remembers the node of each type met; None says that the type is a leaf."""

    def __missing__(self, cls: type) -> _Node | None:
        node = self[cls] = _find_node(cls)
        return node


_nodes = _NodeOfType()


def register_like(cls, known):
    """Treat ``cls`` as the known container ``known``: it flattens as one and comes back as one."""
    _known[cls] = _known[known]


def register(cls: type, flatten: Callable[[Any], tuple], unflatten: Callable[[Any, list], Any]) -> None:
    """Makes `cls` a container. `flatten(x)` gives `(children, metadata)` or `(children, metadata, keys)`, and
    `unflatten(metadata, children)` the container again; the keys name the children in paths (default: indices).
    Two containers match when their metadata are equal. ValueError if `cls` is known already.

    >>> class Pair:
    ...     def __init__(self, a, b):
    ...         self.a, self.b = a, b
    >>> register(Pair, lambda pair: ((pair.a, pair.b), None, "ab"), lambda _, children: Pair(*children))
    >>> flatten_with_path([Pair(1, 2)])
    [((0, 'a'), 1), ((0, 'b'), 2)]
    """
    if cls in _known:
        raise ValueError(f"{cls.__name__} is already a container.")

    def children_and_metadata(container):
        children, metadata, *_ = flatten(container)
        return list(children), metadata

    def keys(container):
        children, _, *names = flatten(container)
        return list(names[0]) if names else range(len(list(children)))

    _known[cls] = _Node(children_and_metadata, unflatten, keys)
    _nodes.clear()


def is_nested(structure: Any) -> bool:
    """Whether `structure` is a container, not a leaf. Source: `keras.tree.is_nested`.

    >>> is_nested([]), is_nested({"a": 1}), is_nested("ab"), is_nested(None)
    (True, True, False, False)
    """
    return _nodes[type(structure)] is not None


def flatten(structure: Any) -> list:
    """The leaves of `structure`, from left to right. Dicts give theirs in the order of the sorted keys, an
    `OrderedDict` in its own order. Source: `keras.tree.flatten`.

    >>> flatten({"b": (1, [2, None]), "a": 3})
    [3, 1, 2, None]
    >>> flatten(5)
    [5]
    """
    node = _nodes[type(structure)]
    if node is None:
        return [structure]
    leaves: list = []
    _extend(leaves, node, structure)
    return leaves


def _extend(leaves: list, node: _Node, container: Any) -> None:
    for child in node.flatten(container)[0]:
        child_node = _nodes[type(child)]
        if child_node is None:
            leaves.append(child)
        else:
            _extend(leaves, child_node, child)


def flatten_with_path(structure: Any) -> list[tuple[tuple, Any]]:
    """Pairs `(path, leaf)`: a path is the tuple of indices and keys that lead to the leaf.
    Source: `keras.tree.flatten_with_path`.

    >>> flatten_with_path([{"x": 5, "y": (6,)}, 7])
    [((0, 'x'), 5), ((0, 'y', 0), 6), ((1,), 7)]
    """
    return list(_walk((), structure))


def _walk(path: tuple, structure: Any) -> Iterator[tuple[tuple, Any]]:
    node = _nodes[type(structure)]
    if node is None:
        yield path, structure
        return
    for key, child in zip(node.keys(structure), node.flatten(structure)[0], strict=True):
        yield from _walk((*path, key), child)


def pack_sequence_as(structure: Any, flat_sequence: Iterable) -> Any:
    """`structure` with its leaves, in the order of `flatten`, replaced by the items of `flat_sequence`. ValueError if
    their numbers differ, TypeError if `flat_sequence` is not iterable. Source: `keras.tree.pack_sequence_as`.

    >>> pack_sequence_as({"b": (0, 0), "a": 0}, [1, 2, 3])
    {'b': (2, 3), 'a': 1}
    """
    items = list(flat_sequence)
    rest = iter(items)
    try:
        packed = _pack(structure, rest)
        fits = next(rest, rest) is rest
    except StopIteration:
        fits = False
    if not fits:
        leaves = len(flatten(structure))
        raise ValueError(f"`flat_sequence` must have one item per leaf of `structure`: {leaves}, got {len(items)}.")
    return packed


def _pack(structure: Any, items: Iterator) -> Any:
    node = _nodes[type(structure)]
    if node is None:
        return next(items)
    children, metadata = node.flatten(structure)
    return node.unflatten(metadata, [_pack(child, items) for child in children])


def map_structure(func: Callable, *structures: Any, none_is_leaf: bool = True) -> Any:
    """`func` of the leaves that stand in the same place in all `structures`, in a structure like the first.
    With `none_is_leaf=False`, None stays as it is and `func` does not see it. ValueError if the structures don't
    match as in `assert_same_structure`. Source: `keras.tree.map_structure`.

    >>> map_structure(lambda a, b: a - b, [(7, 8), {"x": 9}], [(1, 2), {"x": 3}])
    [(6, 6), {'x': 6}]
    """
    _check_arguments(func, structures)
    if len(structures) == 1:
        return _map(func if none_is_leaf else lambda leaf: None if leaf is None else func(leaf), structures[0])
    if not none_is_leaf:
        func = _passing_none(func)
    first, *others = structures
    return _pack(first, map(func, flatten(first), *(_parts(first, other, exact=True) for other in others)))


def map_structure_up_to(shallow_structure: Any, func: Callable, *structures: Any) -> Any:
    """Like `map_structure`, but `func` gets what stands in the places of the leaves of `shallow_structure`, and that
    may be nested further. ValueError if one of `structures` is shallower. Source: `keras.tree.map_structure_up_to`.

    >>> map_structure_up_to([None, (None,)], len, [[1, 2, 3], ([4, 5],)])
    [3, (2,)]
    """
    _check_arguments(func, structures)
    return _pack(shallow_structure, map(func, *(_parts(shallow_structure, each, exact=False) for each in structures)))


def _check_arguments(func: Callable, structures: tuple) -> None:
    if not structures:
        raise ValueError("Expected at least one structure, got none.")
    _check_callable(func)


def _check_callable(func: Callable) -> None:
    if not callable(func):
        raise TypeError(f"`func` must be callable, got {func!r} of type {type(func).__name__}.")


def _passing_none(func: Callable) -> Callable:
    def apply(*leaves):
        nones = sum(leaf is None for leaf in leaves)
        if nones == 0:
            return func(*leaves)
        if nones < len(leaves):
            raise ValueError(f"Expected None in the same place of all structures, got the leaves {leaves}.")

    return apply


def _map(func: Callable, structure: Any) -> Any:
    node = _nodes[type(structure)]
    if node is None:
        return func(structure)
    children, metadata = node.flatten(structure)
    return node.unflatten(metadata, [_map(func, child) for child in children])


def _parts(like: Any, structure: Any, exact: bool) -> list:
    """What stands in `structure` in the places of the leaves of `like`; with `exact`, these must be leaves too."""
    parts: list = []
    _extend_parts(parts, like, structure, exact, path=None)
    return parts


def _extend_parts(parts: list, like: Any, structure: Any, exact: bool, path: tuple | None) -> None:
    """`path` is `(path of the container, container, index)`: cheap to make, and spelt out only in an error."""
    node = _nodes[type(like)]
    if node is None:
        if exact and is_nested(structure):
            raise _mismatch(like, structure, path)
        parts.append(structure)
        return
    pairs = _paired_children(node, like, structure)
    if pairs is None:
        raise _mismatch(like, structure, path)
    for index, (child, other) in enumerate(pairs):
        _extend_parts(parts, child, other, exact, (path, like, index))


def _paired_children(node: _Node, like: Any, structure: Any) -> Iterator[tuple] | None:
    """The children of both, in the order of those of `like`; None if the containers don't match."""
    other_node = _nodes[type(structure)]
    if other_node is None:
        return None
    if node.is_mapping and other_node.is_mapping:
        if like.keys() != structure.keys():
            return None
        return ((like[key], structure[key]) for key in node.keys(like))
    children, metadata = node.flatten(like)
    other_children, other_metadata = other_node.flatten(structure)
    if node is not other_node or len(children) != len(other_children):
        return None
    if node.compares_metadata and metadata != other_metadata:
        return None
    return zip(children, other_children, strict=True)


def _mismatch(like: Any, structure: Any, path: tuple | None) -> ValueError:
    keys: list[str] = []
    while path is not None:
        path, container, index = path
        keys.insert(0, f"[{_nodes[type(container)].keys(container)[index]!r}]")
    where = f"at {''.join(keys)}" if keys else "at the top"
    return ValueError(f"The structures differ {where}: expected {_describe(like)}, got {_describe(structure)}.")


def _describe(structure: Any) -> str:
    node, name = _nodes[type(structure)], type(structure).__name__
    if node is None:
        return f"a leaf ({name})"
    keys = node.keys(structure)
    return f"{name} with the keys {keys}" if node.is_mapping else f"{name} of length {len(keys)}"


def assert_same_structure(a: Any, b: Any, check_types: bool | None = None) -> None:
    """ValueError unless `a` and `b` are nested in the same way: containers of the same kind and size, whatever the
    leaves. All kinds of dict count as one if their keys are the same. `check_types` is deprecated and does nothing.
    Source: `keras.tree.assert_same_structure`.

    >>> assert_same_structure({"x": [1, 2]}, {"x": [None, "c"]})
    >>> assert_same_structure({"x": [1, 2]}, {"x": (1, 2)})
    Traceback (most recent call last):
        ...
    ValueError: The structures differ at ['x']: expected list of length 2, got tuple of length 2.
    """
    if check_types is not None:
        warnings.warn(
            "`check_types` is deprecated and does nothing; for a looser check use `assert_same_paths`.",
            DeprecationWarning,
            stacklevel=2,
        )
    _parts(a, b, exact=True)


def assert_same_paths(a: Any, b: Any) -> None:
    """ValueError unless the leaves of `a` and `b` have the same paths, whatever the kinds of container.
    Source: `keras.tree.assert_same_paths`.

    >>> assert_same_paths([5, {"x": 6}], (7, {"x": 8}))
    """
    paths_a, paths_b = ({path: None for path, _ in flatten_with_path(structure)} for structure in (a, b))
    if paths_a.keys() != paths_b.keys():
        only_a = [path for path in paths_a if path not in paths_b]
        only_b = [path for path in paths_b if path not in paths_a]
        raise ValueError(f"Expected the same paths in `a` and `b`, got {only_a} only in `a` and {only_b} only in `b`.")


def traverse(func: Callable, structure: Any, top_down: bool = True) -> Any:
    """Calls `func` on `structure` and on everything in it, parents first or, with `top_down=False`, children first.
    What `func` returns takes the place of its argument and is not entered; None keeps the argument, `MAP_TO_NONE`
    puts None in its place. Source: `keras.tree.traverse`.

    >>> traverse(lambda part: sum(part) if isinstance(part, tuple) else None, [(1, 2), {"x": (3, 4)}])
    [3, {'x': 7}]
    """
    _check_callable(func)

    def visit(part):
        result = func(part) if top_down else None
        if result is None:
            part = _map_children(visit, part)
            result = None if top_down else func(part)
        if result is None:
            return part
        return None if result is MAP_TO_NONE else result

    return visit(structure)


def _map_children(func: Callable, structure: Any) -> Any:
    node = _nodes[type(structure)]
    if node is None:
        return structure
    children, metadata = node.flatten(structure)
    return node.unflatten(metadata, [func(child) for child in children])


def lists_to_tuples(structure: Any) -> Any:
    """`structure` with a tuple in place of every list. Source: `keras.tree.lists_to_tuples`.

    >>> lists_to_tuples([1, {"x": [2, 3]}])
    (1, {'x': (2, 3)})
    """
    return traverse(lambda part: tuple(part) if isinstance(part, list) else None, structure, top_down=False)


def map_shape_structure(func: Callable, structure: Any) -> Any:
    """`map_structure` for shapes: a tuple or list of ints and Nones is one leaf.
    Source: `keras.tree.map_shape_structure`.

    >>> map_shape_structure(len, {"x": (None, 3), "y": [(2,), ()]})
    {'x': 2, 'y': [1, 0]}
    """
    _check_callable(func)

    def visit(part):
        if not is_nested(part) or _is_shape(part):
            return func(part)
        return _map_children(visit, part)

    return visit(structure)


def _is_shape(part: Any) -> bool:
    return isinstance(part, (list, tuple)) and all(size is None or isinstance(size, int) for size in part)
