"""`kerasish.tree` beside `keras.tree`: same results, same order of visits, same types of error."""

import inspect
import os
import time
from collections import OrderedDict, UserDict, defaultdict, deque, namedtuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasish import tree

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
from keras.src.tree.tree_api import register_tree_node_class

Point = namedtuple("Point", ["x", "y"])
AlsoPoint = namedtuple("Point", ["x", "y"])


class Empty(namedtuple("Empty", [])):
    pass


class Shifted(Point):
    """A named tuple with a constructor of its own."""

    def __new__(cls, *coordinates):
        return super().__new__(cls, *coordinates)


class OwnList(list):
    pass


class OwnDict(dict):
    pass


class OwnTuple(tuple):
    pass


@register_tree_node_class
class Box:
    """A registered container: `label` must be equal for two boxes to match."""

    def __init__(self, label, *items):
        self.label, self.items = label, items

    def __repr__(self):
        return f"Box({self.label!r}, {self.items!r})"

    def tree_flatten(self):
        return self.items, self.label, [f"item{i}" for i in range(len(self.items))]

    @classmethod
    def tree_unflatten(cls, label, items):
        return cls(label, *items)


tree.register(Box, Box.tree_flatten, Box.tree_unflatten)

STRUCTURES = {
    "int": 1,
    "none": None,
    "string": "ab",
    "bytes": b"ab",
    "set": {1},
    "range": range(3),
    "user dict": UserDict(a=1),
    "empty list": [],
    "empty tuple": (),
    "empty dict": {},
    "empty named tuple": Empty(),
    "list": [1, None, "c"],
    "one-tuple": (1,),
    "tuple": (1, 2),
    "shapes": [(None, 3), [2, 3], (True,), (), {"a": (4,)}, "x", None, (1.5, 2)],
    "deep": [1, (2, [3, {"b": 4, "a": (5, None)}]), [[[6]]], {}],
    "dict": {"b": 1, "a": 2},
    "int keys": {100: "a", 6: "b"},
    "mixed keys": {"b": 1, 2: 2, "a": 3, 1: 4, None: 5},
    "unsortable keys": {2j: 1, 1j: 2, "a": 3},
    "tuple keys": {(2, 1): 1, (1, 2): 2},
    "ordered dict": OrderedDict([("b", 1), ("a", [2])]),
    "defaultdict": defaultdict(list, {"b": 1, "a": [2]}),
    "deque": deque([1, [2]]),
    "bounded deque": deque([1, [2]], maxlen=3),
    "named tuple": Point(1, [2]),
    "other named tuple": AlsoPoint(1, [2]),
    "named subclass": Shifted(1, 2),
    "struct sequence": time.gmtime(0),
    "box": Box("a", 1, [2]),
    "other label": Box("b", 1, [2]),
    "more items": Box("a", 1, [2], 3),
    "nested box": [Box("a", {"k": Box("b")})],
    "dict in ordered": OrderedDict([("z", {"b": 1, "a": 2}), ("y", None)]),
}

by_name = pytest.mark.parametrize("structure", STRUCTURES.values(), ids=STRUCTURES.keys())


def outcome(call, *args, **kwargs):
    """The result, told apart by type and order, or the type of the error."""
    try:
        return repr(call(*args, **kwargs))
    except Exception as error:
        return type(error)


def visits(module, structure, top_down, results):
    """What `traverse` visits and returns when `func` answers from `results`, a dict by `repr`."""
    seen = []

    def func(part):
        seen.append(repr(part))
        result = results.get(repr(part))
        return module.MAP_TO_NONE if result == "none" else result

    return outcome(module.traverse, func, structure, top_down=top_down), seen


def arguments(*leaves):
    return f"f{leaves}"


ONE_STRUCTURE = {
    "is_nested": lambda t, s: outcome(t.is_nested, s),
    "flatten": lambda t, s: outcome(t.flatten, s),
    "flatten_with_path": lambda t, s: outcome(t.flatten_with_path, s),
    "map": lambda t, s: outcome(t.map_structure, arguments, s),
    "map to None": lambda t, s: outcome(t.map_structure, lambda leaf: None, s),
    "map but None": lambda t, s: outcome(t.map_structure, arguments, s, none_is_leaf=False),
    "map_shape_structure": lambda t, s: outcome(t.map_shape_structure, arguments, s),
    "lists_to_tuples": lambda t, s: outcome(t.lists_to_tuples, s),
    "pack": lambda t, s: outcome(t.pack_sequence_as, s, range(len(t.flatten(s)))),
    "pack nested items": lambda t, s: outcome(t.pack_sequence_as, s, [[i] for i in range(len(t.flatten(s)))]),
    "pack too few": lambda t, s: outcome(t.pack_sequence_as, s, t.flatten(s)[1:]),
    "pack too many": lambda t, s: outcome(t.pack_sequence_as, s, iter([*t.flatten(s), 1])),
    "top down": lambda t, s: visits(t, s, True, {}),
    "bottom up": lambda t, s: visits(t, s, False, {}),
    "top down, replacing": lambda t, s: visits(t, s, True, {"1": "none", "2": [1], "[2]": 5, "()": "none"}),
    "bottom up, replacing": lambda t, s: visits(t, s, False, {"1": "none", "2": [1], "[[1]]": 5, "()": "none"}),
}

TWO_STRUCTURES = {
    "map": lambda t, a, b: outcome(t.map_structure, arguments, a, b),
    "map three": lambda t, a, b: outcome(t.map_structure, arguments, a, a, b),
    "map but None": lambda t, a, b: outcome(t.map_structure, arguments, a, b, none_is_leaf=False),
    "same structure": lambda t, a, b: outcome(t.assert_same_structure, a, b),
    "same paths": lambda t, a, b: outcome(t.assert_same_paths, a, b),
    "up to": lambda t, a, b: outcome(t.map_structure_up_to, without_none(a), arguments, b, a),
}


def without_none(structure):
    """`map_structure_up_to` of Keras with optree refuses None as a shallow leaf, against its documentation."""
    return tree.map_structure(lambda leaf: 0 if leaf is None else leaf, structure)


def assert_equal_outcomes(cases, *structures):
    ours = {name: case(tree, *structures) for name, case in cases.items()}
    theirs = {name: case(keras.tree, *structures) for name, case in cases.items()}
    assert ours == theirs


def test_public_names_and_signatures():
    names = [name for name in dir(keras.tree) if not name.startswith("_")]
    assert tree.__all__ == sorted(names)
    for name in names:
        ours, theirs = (inspect.signature(getattr(module, name)).parameters.values() for module in (tree, keras.tree))
        assert [(p.name, p.kind, p.default) for p in ours] == [(p.name, p.kind, p.default) for p in theirs], name


@by_name
def test_one_structure_as_in_keras(structure):
    assert_equal_outcomes(ONE_STRUCTURE, structure)


@by_name
def test_two_structures_as_in_keras(structure):
    for other in STRUCTURES.values():
        assert_equal_outcomes(TWO_STRUCTURES, structure, other)


leaves = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["a", b"b", 1.5])
keys = st.sampled_from(["a", "b", "c", "d", 1, 2, 0.5, None])


def containers(children):
    mapping = st.dictionaries(keys, children, max_size=4)
    return st.one_of(
        st.lists(children, max_size=4),
        st.lists(children, max_size=4).map(tuple),
        st.lists(children, max_size=3).map(deque),
        mapping,
        mapping.map(OrderedDict),
        mapping.map(lambda d: defaultdict(list, d)),
        st.builds(Point, children, children),
        st.builds(AlsoPoint, children, children),
        st.builds(Box, st.sampled_from("ab"), children, children),
    )


structures = st.recursive(leaves, containers, max_leaves=12)


@st.composite
def pairs_of_structures(draw):
    """A structure and a variation of it: other leaves, other kinds of container, other order or length."""
    changes = st.sampled_from(["keep"] * 8 + ["nest", "replace", "kind", "length"])

    def vary(part):
        change = draw(changes)
        if change == "nest":
            return [part]
        if change == "replace":
            return draw(leaves)
        if isinstance(part, dict):
            part = OrderedDict((key, vary(part[key])) for key in draw(st.permutations(list(part))))
            if change == "length":
                part["new"] = 1
            return part if change == "kind" else dict(part)
        if isinstance(part, (list, tuple)):
            items = [vary(item) for item in part]
            if change == "length":
                return [*items, 1]
            return tuple(items) if change == "kind" else type(part)(*items) if isinstance(part, Point) else items
        return part

    structure = draw(structures)
    return structure, vary(structure)


quick = settings(max_examples=150, deadline=None, database=None)


@quick
@given(structures)
def test_any_structure_as_in_keras(structure):
    assert_equal_outcomes(ONE_STRUCTURE, structure)


@quick
@given(pairs_of_structures())
def test_any_two_structures_as_in_keras(pair):
    assert_equal_outcomes(TWO_STRUCTURES, *pair)
    assert_equal_outcomes(TWO_STRUCTURES, *reversed(pair))


@quick
@given(structures)
def test_packing_undoes_flattening(structure):
    packed = tree.pack_sequence_as(structure, tree.flatten(structure))
    assert repr(packed) == repr(structure)
    tree.assert_same_structure(structure, packed)
    assert [leaf for _, leaf in tree.flatten_with_path(structure)] == tree.flatten(structure)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda t: t.map_structure(len), ValueError, "at least one structure"),
        (lambda t: t.map_structure(5, [1]), TypeError, "`func` must be callable, got 5 of type int"),
        (lambda t: t.map_structure_up_to([1], len), ValueError, "at least one structure"),
        (lambda t: t.map_structure_up_to([1], 5, [1]), TypeError, "`func` must be callable"),
        (
            lambda t: t.map_structure_up_to([[1]], len, [1]),
            ValueError,
            r"at \[0\]: expected list of length 1, got a leaf",
        ),
        (lambda t: t.traverse(5, [1]), TypeError, "`func` must be callable"),
        (lambda t: t.map_shape_structure(5, [1]), TypeError, "`func` must be callable"),
        (lambda t: t.pack_sequence_as([1], 5), TypeError, "not iterable"),
        (lambda t: t.pack_sequence_as([1, 2], [1]), ValueError, "`structure`: 2, got 1"),
        (lambda t: t.pack_sequence_as({"a": 1}, "ab"), ValueError, "`structure`: 1, got 2"),
        (lambda t: t.assert_same_structure(1, [1]), ValueError, r"at the top: expected a leaf \(int\), got list"),
        (lambda t: t.assert_same_structure((1,), [1]), ValueError, "expected tuple of length 1, got list of length 1"),
        (
            lambda t: t.assert_same_structure([{"b": 1, "a": (1, 2)}], [{"b": 1, "a": (1, [2])}]),
            ValueError,
            r"at \[0\]\['a'\]\[1\]: expected a leaf \(int\), got list of length 1",
        ),
        (
            lambda t: t.assert_same_structure({"a": 1}, {"b": 1}),
            ValueError,
            r"expected dict with the keys \['a'\], got dict with the keys \['b'\]",
        ),
        (lambda t: t.assert_same_paths([1], [1, 2]), ValueError, r"\[\] only in `a` and \[\(1,\)\] only in `b`"),
        (
            lambda t: t.map_structure(max, [1], [None], none_is_leaf=False),
            ValueError,
            r"None in the same place of all structures, got the leaves \(1, None\)",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error):
        call(keras.tree)
    with pytest.raises(error, match=message):
        call(tree)


def test_structures_are_compared_before_func_runs():
    called = []
    with pytest.raises(ValueError, match="differ"):
        tree.map_structure(lambda a, b: called.append(a), [1, 2], [3, [4]])
    assert called == []


@pytest.mark.parametrize("check_types", [True, False])
def test_check_types_is_deprecated(check_types):
    for module in (tree, keras.tree):
        with pytest.warns(DeprecationWarning, match="check_types"):
            module.assert_same_structure([1], [2], check_types=check_types)


def test_none_is_a_shallow_leaf():
    assert tree.map_structure_up_to([None, (None,)], len, [[1], ([2, 3],)]) == [1, (2,)]


@pytest.mark.parametrize(
    ("structure", "plain"),
    [
        (OwnList([2, OwnList([1])]), [2, [1]]),
        (OwnDict(b=1, a=OwnDict(c=2)), {"b": 1, "a": {"c": 2}}),
        (OwnTuple([1, OwnTuple([2])]), (1, (2,))),
    ],
)
def test_subclasses_count_as_the_plain_container(structure, plain):
    assert tree.is_nested(structure)
    assert tree.flatten(structure) == tree.flatten(plain)
    assert tree.flatten_with_path(structure) == tree.flatten_with_path(plain)
    assert repr(tree.map_structure(lambda leaf: leaf, structure)) == repr(plain)
    tree.assert_same_structure(structure, plain)
    tree.assert_same_structure(plain, structure)


def test_registering():
    class Tracked(list):
        def __repr__(self):
            return f"Tracked({list(self)})"

    assert repr(tree.map_structure(str, Tracked([1, 2]))) == "['1', '2']"
    tree.register(Tracked, lambda items: (iter(items), None), lambda _, children: Tracked(children))
    assert repr(tree.map_structure(str, [Tracked([1, 2])])) == "[Tracked(['1', '2'])]"
    assert tree.flatten_with_path(Tracked([5])) == [((0,), 5)]
    tree.assert_same_structure(Tracked([1, (2,)]), Tracked([3, (4,)]))
    with pytest.raises(ValueError, match="expected Tracked of length 1, got list of length 1"):
        tree.assert_same_structure(Tracked([1]), [1])
    for cls in (Tracked, list):
        with pytest.raises(ValueError, match="is already a container"):
            tree.register(cls, lambda items: (items, None), lambda _, children: children)
