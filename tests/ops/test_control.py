"""What the table has not: gradients through loops, tensors without values, functions as results, errors.

Control flow in recorded steps is tested in tests/backend/plan/test_control.py.
"""

import numpy as np
import pytest

from kerasish import ops
from kerasish.backend.autodiff.gradient import grad
from kerasish.backend.autodiff.symbolic import Function
from kerasish.backend.autodiff.tensor import KerasTensor, NoValueError, Tensor


def test_gradients_go_through_the_branch_taken():
    f = lambda x: ops.cond(x > 0.0, lambda: x * x, lambda: -x)
    assert grad(f)(Tensor(3.0)).item() == 6.0
    assert grad(f)(Tensor(-3.0)).item() == -1.0
    g = lambda x: ops.switch(1, [lambda x: x, lambda x: x * x * x], x)
    assert grad(grad(g))(Tensor(2.0)).item() == 12.0


def test_gradients_go_through_loops():
    assert grad(lambda x: ops.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, y * x), (0, x))[1])(Tensor(2.0)).item() == 32.0
    assert grad(lambda x: ops.fori_loop(0, 2, lambda i, y: y * x, x))(Tensor(2.0)).item() == 12.0
    carry, ys = ops.scan(lambda c, x: (c * x, None), Tensor(1.0), Tensor([2.0, 3.0]))
    assert (carry.item(), ys) == (6.0, None)


def test_branches_without_a_value_are_both_run_and_chosen_from():
    pred = KerasTensor((), "bool")
    y = ops.cond(pred, lambda: Tensor([1.0, 2.0]), lambda: Tensor([3.0, 4.0]))
    assert [Function(pred, y)(Tensor(p)).tolist() for p in (True, False)] == [[1.0, 2.0], [3.0, 4.0]]
    unknown = Tensor(None, (), "bool")
    assert ops.cond(unknown, lambda: Tensor([1.0, 2.0]), lambda: Tensor([3.0, 4.0])).shape == (2,)
    chosen = ops.control._chosen("All branches", Tensor(1), [Tensor([1.0]), Tensor([2.0]), Tensor([3.0])])
    assert chosen.tolist() == [2.0]
    index = KerasTensor((), "int32")
    y = ops.switch(index, [lambda x: x, lambda x: x * 2.0], Tensor([1.0]))
    assert [Function(index, y)(Tensor(i)).tolist() for i in (-3, 0, 1, 9)] == [[1.0], [1.0], [2.0], [2.0]]


@pytest.mark.parametrize("other", [lambda: Tensor([1.0, 2.0, 3.0]), lambda: Tensor([1, 2]), lambda: [Tensor([1.0, 2.0])]])
def test_branches_must_give_the_same_kind_of_result(other):
    with pytest.raises(ValueError, match="same kind"):
        ops.cond(KerasTensor((), "bool"), lambda: Tensor([1.0, 2.0]), other)


def test_loops_of_tensors_without_values_give_shapes():
    x = KerasTensor((None, 3))
    assert ops.while_loop(lambda x: ops.sum(x) < 9.0, lambda x: x + 1.0, (x,))[0].shape == (None, 3)
    assert ops.while_loop(lambda x: ops.sum(x) < 9.0, lambda x: ops.concatenate([x, x]), x).shape == (None, 3)
    assert ops.fori_loop(0, 3, lambda i, x: x * 2.0, x).shape == (None, 3)
    assert ops.map(lambda row: ops.sum(row), x).shape == (None,)
    assert ops.map(lambda row: row[:2], KerasTensor((4, 3))).shape == (4, 2)
    carry, ys = ops.scan(lambda c, row: (c + row, row[0]), KerasTensor((3,)), x)
    assert (carry.shape, ys.shape) == ((3,), (None,))
    assert ops.associative_scan(lambda a, b: a + b, x).shape == (None, 3)
    assert ops.associative_scan(lambda a, b: a + b, x, axis=1).shape == (None, 3)


def test_a_loop_whose_turns_depend_on_a_value_says_so_when_it_is_asked_for_one():
    after = ops.control._unknown_turns(lambda x: x + 1.0, (Tensor(None, (2,), "float32"),), False)
    assert after[0].value is None
    with pytest.raises(NoValueError, match="while_loop"):
        ops.control._after_loop(Tensor([1.0]), spec=(((1,), "float32"),))


def test_nothing_to_go_over():
    assert ops.map(lambda x: ops.concatenate([x, x]), ops.zeros((0, 3))).shape == (0, 6)
    carry, ys = ops.scan(lambda c, x: (c + x, c), Tensor(1.0), ops.zeros((0,)))
    assert (carry.item(), ys.shape) == (1.0, (0,))
    assert ops.while_loop(lambda x: x < 0, lambda x: x + 1, 0).item() == 0


def test_a_loop_stops_after_the_most_turns_allowed():
    assert ops.while_loop(lambda i: i >= 0, lambda i: i + 1, 0, maximum_iterations=4).item() == 4
    assert ops.while_loop(lambda i, j: i < 2, lambda i, j: [i + 1, j * 2], [0, 1])[1].item() == 4


@pytest.mark.parametrize("signature", ["(m,n),(n)->(m)", "(n),(m)->(n),()"])
def test_vectorize_by_signature_follows_numpy(signature):
    rng = np.random.default_rng(0)
    if signature == "(m,n),(n)->(m)":
        args, ours, theirs = (rng.uniform(size=(5, 2, 3)), rng.uniform(size=3)), ops.matmul, np.matmul
    else:
        args = rng.uniform(size=(4, 1, 3)), rng.uniform(size=(5, 2))
        ours = lambda a, b: (a * ops.sum(b), ops.sum(a) * ops.max(b))
        theirs = lambda a, b: (a * np.sum(b), np.sum(a) * np.max(b))
    found, expected = ops.vectorize(ours, signature=signature)(*args), np.vectorize(theirs, signature=signature)(*args)
    for a, b in zip(*[y if isinstance(y, tuple) else (y,) for y in (found, expected)], strict=True):
        np.testing.assert_allclose(a, b)


def test_vectorize_of_scalars():
    f = ops.vectorize(lambda a, b, name: a + b if name == "add" else a - b, excluded={2})
    assert f([[1.0], [2.0]], [10.0, 20.0], "add").tolist() == [[11.0, 21.0], [12.0, 22.0]]
    assert grad(lambda x: ops.sum(ops.vectorize(lambda a: a * a)(x)))(Tensor([1.0, 2.0])).tolist() == [2.0, 4.0]


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda: ops.scan(lambda c, x: (c, x), 0), ValueError, "length"),
        (lambda: ops.scan(lambda c, x: (c, x), 0, ops.ones(3), length=2), ValueError, "sizes"),
        (lambda: ops.scan(lambda c, x: (c, x), 0, ops.ones(3), unroll=0), ValueError, "unroll"),
        (lambda: ops.map(lambda x: x[0], [ops.ones(3), ops.ones(2)]), ValueError, "sizes"),
        (lambda: ops.associative_scan(lambda a, b: a, [ops.ones(3), ops.ones(2)]), ValueError, "same size"),
        (lambda: ops.while_loop(lambda i: i < 2, lambda i: (i, i), 0), ValueError, "structure"),
        (lambda: ops.vectorize(3), ValueError, "callable"),
        (lambda: ops.vectorize(lambda x: x, signature="n->n"), ValueError, "signature"),
        (lambda: ops.vectorize(lambda x: x, signature="(n)->(m)")(1.0), ValueError, "axes"),
        (lambda: ops.vectorize(lambda x: x, signature="(n)->()")(np.ones(3)), ValueError, "output"),
        (lambda: ops.vectorize(lambda x, y: x, signature="(n),(n)->(n)")(np.ones(3), np.ones(4)), ValueError, "sizes"),
    ],
)
def test_errors_say_what_was_wrong(function, error, message):
    with pytest.raises(error, match=message):
        function()


# ---- derivatives along a direction
def test_jvp_of_structures():
    def f(pair, y):
        return {"product": pair[0] * y, "count": ops.size(y), "constant": Tensor([1.0])}, "aux"

    out, slopes, aux = ops.jvp(f, ([2.0, 3.0], 4.0), ([1.0, 0.0], 0.5), has_aux=True)
    assert aux == "aux" and float(out["product"]) == 8.0
    assert float(slopes["product"]) == 1.0 * 4.0 + 2.0 * 0.5
    assert slopes["constant"].tolist() == [0.0]


def test_jvp_nests_with_itself_and_with_grad():
    def slope(x):
        return ops.jvp(lambda x: x**4.0, (x,), (1.0,))[1]

    assert float(ops.jvp(slope, (2.0,), (1.0,))[1]) == 48.0
    assert float(grad(slope)(Tensor(2.0))) == 48.0
    assert float(slope(Tensor(2.0))) == 32.0
    assert float(ops.jvp(lambda x: grad(lambda x: x**4.0)(x), (2.0,), (1.0,))[1]) == 48.0


def test_jvp_wants_directions_that_fit():
    with pytest.raises(ValueError, match="shapes"):
        ops.jvp(ops.sin, ([1.0, 2.0],), (1.0,))
    with pytest.raises(TypeError, match="lists or tuples"):
        ops.jvp(ops.sin, 1.0, 1.0)
