"""A model's call as data: recorded on tensors whose batch, and whatever else is open, are sizes that stand for any."""

from kerasish import tree
from kerasish.backend.autodiff.op import as_tensor
from kerasish.backend.autodiff.scopes import StatelessScope
from kerasish.backend.autodiff.state import current_path, setting, state
from kerasish.backend.plan.record import Recorder
from kerasish.export.graph import CannotExport
from kerasish.ops.sizes import Size

STEP = 480  # open sizes are multiples of it while a model is recorded: its code may want one that can be halved, or cut in three


class OpenRecorder(Recorder):
    """A recorder that remembers which layer made each call."""

    def __init__(self):
        super().__init__()
        self.layers = []  # for each call the path of the layer, and its class

    def call(self, op, inputs, attrs, outputs):
        here = current_path(), type(getattr(state.names[-1], "caller", None)).__name__ if state.names else ""
        if any(None in y.shape for y in outputs):
            raise CannotExport("the shape of what it returns depends on values").placed(op.name, *here)
        super().call(op, inputs, attrs, outputs)
        self.layers += [here] * (len(self.trace.calls) - len(self.layers))


class Recording:
    """The trace of ``function(*args)``, the structure that it returned, where each open size is found (name -> (input, axis)), and
    the layer of each call. ``kind``: which stand-ins the sizes get, for one recording is checked by another. ``shared``: 0 where the
    open axes of inputs differ, 1 where those with the same number are of one size, 2 where all but the first are."""

    def __init__(self, function, signature, kind, shared):
        recorder, specs = OpenRecorder(), tree.flatten(signature)
        self.symbols = {}
        for i, spec in enumerate(specs):
            for axis, n in enumerate(spec.shape):
                if n is None:
                    self.symbols.setdefault(_name(i, axis, shared), (i, axis))
        sizes = _stand_ins(self.symbols, kind)
        leaves = [
            recorder.argument([sizes[_name(i, axis, shared)] if n is None else n for axis, n in enumerate(spec.shape)], spec.dtype)
            for i, spec in enumerate(specs)
        ]
        with setting(recording=recorder, grad_enabled=False), _Losses():
            result = function(*tree.pack_sequence_as(signature, leaves))
            self.structure = tree.map_structure(_output, result)
            self.results = [y for y in tree.flatten(self.structure) if y is not None]
            if not self.results:
                raise CannotExport("The model can't be exported to ONNX: its call returns no tensor.")
            self.trace = recorder.finish(self.results)
        self.layers = recorder.layers


def _output(y):
    """What a model returns as a tensor; a size or another number becomes one."""
    if isinstance(y, str):
        raise CannotExport(f"The model can't be exported to ONNX: its call returns {y!r}, which is no tensor.")
    return None if y is None else as_tensor(y)


def _name(i, axis, shared):
    return "batch" if axis == 0 else (f"dim_{i}_{axis}", f"dim_{axis}", "size")[shared]


def _stand_ins(names, kind):
    """Sizes for the names: in one recording each is larger than the one before, in the other smaller."""
    places = [2 + 3 * i if kind == 0 else 3 * (len(names) - i) for i in range(len(names))]
    return {name: Size(STEP * place, {(name,): 1}) for name, place in zip(names, places, strict=True)}


class _Losses(StatelessScope):
    """What a layer adds to the losses is nobody's: reads and writes of variables are the recorder's."""

    def __init__(self):
        super().__init__(collect_losses=True)

    def add_loss(self, loss):
        pass

    def add_update(self, update):
        state.recording.write(*update)
