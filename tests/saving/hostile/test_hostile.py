"""Files and configs that no saver wrote: each is refused by an error that says what and where, in a process that sees everything else.

A case is a function that makes the file and says how it is loaded; the decorator says what the error must say.
"""

import base64
import io
import json
import marshal
import os
import re
import struct
import zipfile
import zlib

import h5py
import numpy as np
import pytest

import kerasish as ks
from kerasish import saveable
from tests.saving.hostile import fuzzing, guard, worker

NAMED = ("ValueError", "TypeError", "UnsafeFileError")
CASES: dict = {}


@pytest.fixture(scope="module")
def process():
    running = guard.Guard(worker.__file__)
    yield running
    running.close()


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    """Valid files to start from."""
    folder = tmp_path_factory.mktemp("seeds")
    return folder, worker.write_seeds(ks, folder)


class Room:
    """A folder for one case, and what cases make their files of."""

    def __init__(self, folder, seeds):
        self.folder, self.seeds = folder, seeds

    def seed(self, name):
        return (self.seeds / name).read_bytes()

    def config(self, name="mlp"):
        return json.loads(self.seed(f"{name}.json"))

    def write(self, name, data):
        path = self.folder / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    def members(self, name="mlp"):
        with zipfile.ZipFile(io.BytesIO(self.seed(f"{name}.keras"))) as archive:
            return {member: archive.read(member) for member in archive.namelist()}

    def keras(self, members):
        with zipfile.ZipFile(self.folder / "m.keras", "w") as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        return self.folder / "m.keras"

    def with_config(self, config, name="mlp"):
        text = config if isinstance(config, (str, bytes)) else json.dumps(config)
        return "model", self.keras({**self.members(name), "config.json": text})

    def h5(self, change, name="mlp.weights.h5"):
        path = self.write(name, self.seed(name))
        with h5py.File(path, "r+") as file:
            change(file)
        return "weights" if ".weights." in name else "model", path

    def json(self, loader, config):
        return loader, self.write("m.json", config if isinstance(config, (str, bytes)) else json.dumps(config))


def hostile(says, name=None):
    def decorator(function):
        CASES[name or function.__name__] = function, says
        return function

    return decorator


# ---- code
def layer(class_name, module="keras.layers", **config):
    return {"module": module, "class_name": class_name, "config": config, "registered_name": None}


def code():
    """The bytecode of a function that would leave a file."""
    return base64.encodebytes(marshal.dumps((lambda x: open("/tmp/owned", "w")).__code__)).decode("ascii")


def a_lambda(form="layer"):
    inner = {"code": code(), "defaults": None, "closure": None} if form == "layer" else {"value": [code(), None, None]}
    return {"class_name": "__lambda__", "config": inner}


def lambda_layer(**config):
    return layer("Lambda", name="code", **{"function": a_lambda(), "arguments": {}, **config})


def stacked(room, *added):
    config = room.config()
    config["config"]["layers"].extend(added)
    return room.with_config(config)


REFUSED = "disallowed by default"
for _name, _added in {
    "lambda layer": lambda_layer(),
    "lambda inside a wrapper": layer("TimeDistributed", layer=lambda_layer(), name="w"),
    "lambda inside wrappers inside wrappers": layer("TimeDistributed", layer=layer("TimeDistributed", layer=lambda_layer()), name="w"),
    "lambda as an output shape": lambda_layer(function="relu", output_shape=a_lambda()),
    "lambda as a mask": lambda_layer(function="relu", mask=a_lambda()),
    "lambda among a Lambda's arguments": lambda_layer(
        function={"module": "builtins", "class_name": "function", "config": "relu", "registered_name": "function"}, arguments={"f": a_lambda("value")}),
    "lambda as an activation": layer("Dense", units=2, activation=a_lambda("value"), name="d"),
    "lambda as an initializer": layer("Dense", units=2, kernel_initializer={**a_lambda("value"), "module": "keras.initializers"}, name="d"),
    "lambda as a regularizer": layer("Dense", units=2, kernel_regularizer={**a_lambda("value"), "module": "keras.regularizers"}, name="d"),
    "lambda that standardizes text": layer("TextVectorization", standardize=a_lambda("value"), name="t"),
    "lambda in a pipeline": layer("Pipeline", layers=[lambda_layer()], name="p"),
    "lambda in a recurrent cell": layer("RNN", cell=layer("LSTMCell", units=2, activation=a_lambda("value")), name="r"),
    "lambda in a model in a model": layer("Sequential", module="keras", name="inner", layers=[lambda_layer()]),
}.items():  # fmt: skip
    hostile(REFUSED, _name)(lambda room, added=_added: stacked(room, added))


@hostile(REFUSED)
def lambda_as_loss(room):
    config = room.config()
    config["compile_config"]["loss"] = a_lambda("value")
    return room.with_config(config)


@hostile(REFUSED)
def lambda_as_metric(room):
    config = room.config()
    config["compile_config"]["metrics"] = [layer("MeanMetricWrapper", "keras.metrics", fn=a_lambda("value"), name="x")]
    return room.with_config(config)


@hostile(REFUSED)
def lambda_as_learning_rate(room):
    config = room.config()
    config["compile_config"]["optimizer"]["config"]["learning_rate"] = a_lambda("value")
    return room.with_config(config)


@hostile("m.keras")
def lambda_in_build_config(room):
    return stacked(room, {**layer("Dense", units=2, name="d"), "build_config": {"input_shape": a_lambda()}})


@hostile(REFUSED)
def lambda_beside_custom_objects(room):
    return room.json("object", [{"class_name": "Mine", "registered_name": "Mine", "config": {}}, a_lambda()])


@hostile(REFUSED)
def lambda_in_h5(room):
    def change(file):
        config = json.loads(file.attrs["model_config"])
        config["config"]["layers"].append({"class_name": "Lambda", "config": lambda_layer()["config"]})
        file.attrs["model_config"] = json.dumps(config)

    return room.h5(change, "mlp.h5")


@hostile("is a .*str|not supported|unexpected|code|disallowed|Could not")
def safe_mode_in_the_file(room):
    return stacked(room, {**lambda_layer(), "safe_mode": False, "custom_objects": {"x": 1}})


# ---- names
for _name, _entry in {
    "os.system": layer("system", "os", command="touch /tmp/owned"),
    "subprocess.Popen": layer("Popen", "subprocess", args=["true"]),
    "eval as a class": layer("eval", "builtins", source="1"),
    "unsafe loading switched on": layer("enable_unsafe_deserialization", "keras.config"),
    "get_file": layer("get_file", "keras.utils", fname="x", origin="http://localhost:1/x"),
    "load_model": layer("load_model", "keras.models", filepath="/etc/passwd", safe_mode=False),
    "load_model by its own module": layer("load_model", "kerasish.saving", filepath="/etc/passwd"),
    "numpy.load": layer("load", "numpy", file="/etc/passwd", allow_pickle=True),
    "a class of kerasish that is no part of models": layer("ModelCheckpoint", "keras.callbacks", filepath="/tmp/owned"),
    "a dotted path": layer("layers.Dense.__init__.__globals__", "keras"),
    "a module where a class should be": layer("layers", "keras"),
    "an unheard class": layer("Unheard", None),
    "a function where a class should be": layer("relu", "keras.activations", x=1),
}.items():
    hostile("Could not locate", _name)(lambda room, entry=_entry: stacked(room, entry))

for _name, _function in {
    "eval as a function": ("eval", None), "os.system as a function": ("system", "os"), "get_file as a function": ("get_file", "keras.utils"),
    "unsafe loading switched on by a function": ("enable_unsafe_deserialization", "keras.config"),
    "numpy function": ("fromfile", "numpy"), "a class where a function should be": ("Dense", "keras.layers"), "load_model as a function": ("load_model", None),
    "a dunder": ("__import__", "builtins"),
}.items():  # fmt: skip
    _entry = {"module": _function[1], "class_name": "function", "config": _function[0], "registered_name": f"{_function[1]}>{_function[0]}"}
    hostile("Could not locate function", _name)(
        lambda room, entry=_entry: stacked(room, layer("Dense", units=2, activation=entry, name="d")))  # fmt: skip


@hostile("registered_name")
def spoofed_registered_name(room):
    return stacked(room, {**layer("Dense", units=2), "registered_name": "os>system"})


@hostile("Could not locate class 'Other'")
def custom_objects_of_the_caller_alone(room):
    return room.json("object", {"module": None, "class_name": "Other", "config": {}, "registered_name": "mine>Other"})


@hostile("must be a string")
def module_that_is_no_string(room):
    return stacked(room, {**layer("Dense", units=2), "module": ["keras.layers"]})


@hostile("must be a string")
def class_name_that_is_no_string(room):
    return stacked(room, {**layer("Dense", units=2), "class_name": {"class_name": "Dense", "config": {}}})


for _family in worker.FAMILIES:
    for _what, _config in {"os.system": layer("system", "os"), "a number": 5, "a list": [[]], "no string as class": {"class_name": [1], "config": {}}}.items():
        if _what in ("a number", "a list") and _family in ("activations", "optimizers.schedules"):
            continue  # they come back as they are, as from any config
        hostile("", f"{_what} to {_family}.deserialize")(
            lambda room, family=_family, config=_config: room.json(f"deserialize {family}", config))  # fmt: skip


# ---- types and sizes
def with_layer(room, class_name, **config):
    return stacked(room, layer(class_name, **{"name": "odd", **config}))


for _name, _wrong in {
    "units as text": ("Dense", {"units": "5"}), "negative units": ("Dense", {"units": -1}), "units that are not a number": ("Dense", {"units": float("nan")}),
    "units as a list": ("Dense", {"units": [[1]]}), "no units": ("Dense", {}), "unknown field": ("Dense", {"units": 1, "exec": "x"}),
    "units beyond any memory": ("Dense", {"units": 10**12}), "units beyond 64 bits": ("Dense", {"units": 10**30}),
    "an embedding of a petabyte": ("Embedding", {"input_dim": 10**13, "output_dim": 16}), "a name that is a path": ("Dense", {"units": 1, "name": "../../x"}),
    "a name that is a list": ("Dense", {"units": 1, "name": ["x"]}), "a dtype that is none": ("Dense", {"units": 1, "dtype": "float99"}),
    "a rate that is text": ("Dropout", {"rate": "high"}), "shape of text": ("Reshape", {"target_shape": ["a", "b"]}),
    "reshaped to nothing": ("Reshape", {"target_shape": [10**30, -1]}),
    "a constant that is an array of objects": ("Dense", {"units": 1, "bias_initializer": layer("Constant", "keras.initializers", value={
        "class_name": "__numpy__", "config": {"value": [{}], "dtype": "object"}})}),
    "a constant of huge texts": ("Dense", {"units": 1, "bias_initializer": layer("Constant", "keras.initializers", value={
        "class_name": "__numpy__", "config": {"value": ["x"] * 1000, "dtype": "U10000000"}})}),
}.items():  # fmt: skip
    hostile("m.keras", _name)(lambda room, wrong=_wrong: with_layer(room, wrong[0], **wrong[1]))


@hostile("bytes|memory")
def build_config_of_terabytes(room):
    config = room.config()
    config["config"]["layers"] = [{**layer("Dense", units=2, name="d"), "build_config": {"input_shape": [None, 10**12]}}]
    del config["config"]["build_input_shape"], config["build_config"]
    return room.with_config(config)


@hostile("bytes|memory")
def many_layers_that_are_large_together(room):
    config = room.config()
    config["config"]["layers"] = [{**layer("Dense", units=2000, name=f"d{i}"), "build_config": {"input_shape": [None, 2000]}} for i in range(300)]
    return room.with_config(config)


@hostile("build_config")
def build_config_that_is_a_list(room):
    return stacked(room, {**layer("Dense", units=2, name="d"), "build_config": [1, 2]})


@hostile("d")
def build_config_with_unknown_shapes(room):
    config = room.config()
    config["config"]["layers"] = [{**layer("Dense", units=2, name="d"), "build_config": {"shapes_dict": {"self": [1], "exec_shape": [2]}}}]
    return room.with_config(config)


@hostile("takes none")
def compile_config_of_a_layer(room):
    return stacked(room, {**layer("Dense", units=2, name="d"), "compile_config": {"optimizer": "sgd"}})


@hostile("m.keras")
def compile_config_that_is_text(room):
    return room.with_config({**room.config(), "compile_config": "sgd"})


@hostile("parts of one thing")
def a_metric_of_terabytes(room):
    config = room.config()
    config["compile_config"]["metrics"] = [layer("MeanIoU", "keras.metrics", num_classes=10**7, name="iou")]
    return room.with_config(config)


@hostile("too many ops")
def a_recurrent_layer_of_a_million_steps(room):
    config = room.config()
    config["config"]["layers"] = [layer("InputLayer", batch_shape=[None, 10**6, 3], dtype="float32", name="i"), layer("GRU", units=2, unroll=True, name="g")]
    return room.with_config(config)


@hostile("too many ops")
def an_op_that_loops(room):
    return graph_of(room, lambda c, by: c["layers"].append(
        {**layer("Diff", "keras.src.ops.numpy", name="diff", n=10**9), "name": "diff", "inbound_nodes": [call(place("shared"))]}))  # fmt: skip


@hostile("parts of one thing")
def an_op_of_a_billion_outputs(room):
    return graph_of(room, lambda c, by: c["layers"].append(
        {**layer("Split", "keras.src.ops.numpy", name="split", indices_or_sections=10**9), "name": "split", "inbound_nodes": [call(place("shared"))]}))  # fmt: skip


@hostile("parts of one thing")
def a_metric_of_many_thresholds(room):
    config = room.config()
    config["compile_config"]["metrics"] = [layer("AUC", "keras.metrics", num_thresholds=10**12, name="auc")]
    return room.with_config(config)


@hostile("shared_object_id")
def shared_object_id_that_is_a_dict(room):
    return stacked(room, {**layer("Dense", units=2), "shared_object_id": {}})


# ---- JSON
@hostile("nested too deeply|levels")
def json_of_a_hundred_thousand_levels(room):
    return room.with_config("[" * 100_000 + "]" * 100_000)


@hostile("levels")
def json_of_a_thousand_levels(room):
    value = 1
    for _ in range(900):
        value = {"x": value}
    return with_layer(room, "Dense", units=value)


@hostile("levels")
def models_in_models_in_models(room):
    config = room.config()
    for i in range(120):
        config = {**config, "config": {"name": f"m{i}", "trainable": True, "layers": [config]}}
    return room.with_config(config)


@hostile("too many values")
def json_of_millions_of_lists(room):
    return room.with_config("[" + "[]," * 3_000_000 + "[]]")


@hostile("characters|bytes")
def json_of_a_hundred_megabytes(room):
    return room.with_config('"' + "x" * 100_000_000 + '"')


@hostile("twice")
def a_key_that_is_there_twice(room):
    return room.with_config(json.dumps(room.config()).replace('"class_name": "Sequential"', '"class_name": "Sequential", "class_name": "Sequential"', 1))


@hostile("not JSON")
def json_that_is_no_utf8(room):
    return room.with_config(json.dumps(room.config()).encode().replace(b"first", b"fi\xff\xfet"))


@hostile("not JSON")
def json_in_another_encoding(room):
    return room.with_config(json.dumps(room.config()).encode("utf-32-le"))


@hostile("not JSON")
def a_number_of_many_digits(room):
    return room.with_config(json.dumps(room.config()).replace('"units": 3', '"units": ' + "9" * 5000))


@hostile("should hold an object")
def json_that_is_a_list(room):
    return room.with_config("[1, 2]")


@hostile("JSON")
def json_text_for_model_from_json(room):
    return room.json("json", b'{"class_name": "Sequential", "config": {}, "config": {}}')


@hostile("levels|itself")
def a_config_that_holds_itself(room):
    return "python", {"what": "cycle"}


@hostile("levels")
def a_deep_python_config(room):
    return "python", {"what": "deep"}


@hostile("values|levels")
def a_config_of_two_to_the_sixty_parts(room):
    return "python", {"what": "laughs"}


for _name, (_loader, _says, _change) in {
    "lambda to Sequential.from_config": ("from_config Sequential", REFUSED, lambda c: c["layers"].append(lambda_layer())),
    "os.system to Sequential.from_config": ("from_config Sequential", "Could not locate", lambda c: c["layers"].append(layer("system", "os"))),
    "layers that are a number to Sequential.from_config": ("from_config Sequential", "list of layers", lambda c: c.update(layers=5)),
    "terabytes to Sequential.from_config": ("from_config Sequential", "bytes|memory", lambda c: c["layers"].append(layer("Dense", units=10**12, name="d"))),
    "lambda to clone_model": ("clone", REFUSED, lambda c: c["layers"].append(lambda_layer())),
    "two layers of one name to Sequential.from_config": ("from_config Sequential", "unique names", lambda c: c["layers"].append(c["layers"][1])),
}.items():  # fmt: skip
    def _from_config(room, loader=_loader, change=_change):
        config = room.config()["config"]
        change(config)
        return room.json(loader, config)

    hostile(_says, _name)(_from_config)

for _name, (_says, _change) in {
    "a loop to Model.from_config": ("loops", lambda c: c["layers"][2]["inbound_nodes"].append(call(place(c["layers"][2]["name"], 9)))),
    "lambda to Model.from_config": (REFUSED, lambda c: c["layers"].append({**lambda_layer(), "name": "code", "inbound_nodes": []})),
    "places of the wrong kind to Model.from_config": ("no tensor|list|it can't be read", lambda c: c.update(input_layers=5)),
    "no names to Model.from_config": ("`name`", lambda c: c["layers"][0].pop("name")),
}.items():  # fmt: skip
    def _from_config(room, change=_change):
        config = room.config("graph")["config"]
        change(config)
        return room.json("from_config Model", config)

    hostile(_says, _name)(_from_config)


# ---- graphs
def graph_of(room, change):
    config = room.config("graph")
    change(config["config"], {entry["name"]: entry for entry in config["config"]["layers"]})
    return room.with_config(config, "graph")


def place(name, node=0, tensor=0):
    return {"class_name": "__keras_tensor__", "config": {"shape": [None, 3], "dtype": "float32", "keras_history": [name, node, tensor]}}


def call(*args):
    return {"args": list(args), "kwargs": {}}


for _name, (_says, _change) in {
    "a graph with a loop": ("loops", lambda c, by: by["shared"]["inbound_nodes"].append(call(place("shared", 2)))),
    "a graph that waits for ever": ("loops", lambda c, by: by["both"].update(inbound_nodes=[call([place("inner"), place("shared")])])),
    "a call of an unknown layer": ("unknown layer|Missing node", lambda c, by: by["both"].update(inbound_nodes=[call([place("nobody"), place("shared")])])),
    "an output of an unknown layer": ("unknown layer|Missing node", lambda c, by: c.update(output_layers=[["nobody", 0, 0]])),
    "a node that is not there": ("times", lambda c, by: c.update(output_layers=[["both", 10**6, 0]])),
    "a node before the first": ("no tensor", lambda c, by: c.update(output_layers=[["both", -1, 0]])),
    "a tensor that is not there": ("no output", lambda c, by: c.update(output_layers=[["both", 0, 10**6]])),
    "a tensor that is text": ("no tensor", lambda c, by: c.update(output_layers=[["both", "0", None]])),
    "no outputs": ("m.keras", lambda c, by: c.update(output_layers=[])),
    "no inputs": ("m.keras", lambda c, by: c.update(input_layers=[])),
    "two layers of one name": ("name", lambda c, by: by["both"].update(name="shared")),
    "two layers of one name inside": ("used 2 times|name", lambda c, by: by["both"]["config"].update(name="shared")),
    "calls that are text": ("inbound_nodes", lambda c, by: by["both"].update(inbound_nodes="both")),
    "layers that are text": ("m.keras", lambda c, by: c.update(layers="shared")),
    "an op that runs on no tensor of the model": ("no tensor of the model", lambda c, by: c["layers"].append(
        {**layer("Arange", "keras.src.ops.numpy", name="arange", stop=10**13), "name": "arange", "inbound_nodes": [call(0)]})),
    "an initializer in the graph": ("Expected a layer", lambda c, by: c["layers"].append({**layer("Zeros", "keras.initializers"), "name": "z", "inbound_nodes": []})),
}.items():  # fmt: skip
    hostile(_says, _name)(lambda room, change=_change: graph_of(room, change))


@hostile("too many layers")
def models_used_twice_in_models_used_twice(room):
    """Fifty models in each other, each called twice by the one around it: two to the fiftieth calls."""

    def functional(name, layers, last):
        return {"module": "keras.src.models.functional", "class_name": "Functional", "registered_name": "Functional", "config": {
            "name": name, "trainable": True, "layers": layers, "input_layers": [[f"{name}_in", 0, 0]], "output_layers": [last]}}  # fmt: skip

    def entry(config, name, *nodes):
        return {**config, "name": name, "inbound_nodes": list(nodes)}

    config = layer("Dense", units=3, name="m0")
    for i in range(1, 30):
        start = entry(layer("InputLayer", batch_shape=[None, 3], dtype="float32", name=f"m{i}_in"), f"m{i}_in")
        inner = entry(config, f"m{i - 1}", call(place(f"m{i}_in")), call(place(f"m{i - 1}", 0)))
        config = functional(f"m{i}", [start, inner], [f"m{i - 1}", 1 + (i > 1), 0])
    return room.with_config(config)


@hostile("too many")
def more_objects_than_any_model_has(room):
    config = room.config()
    config["compile_config"]["metrics"] = [layer("Zeros", "keras.initializers")] * 60_000
    return room.with_config(config)


# ---- vocabularies
for _name, _class, _file in (
    ("StringLookup", "StringLookup", "/etc/passwd"), ("IntegerLookup", "IntegerLookup", "/etc/passwd"),
    ("TextVectorization", "TextVectorization", "/etc/passwd"), ("StringLookup from the net", "StringLookup", "http://localhost:1/words.txt"),
    ("StringLookup from a pipe", "StringLookup", "pipe"),
):  # fmt: skip
    hostile("vocabulary file", f"vocabulary of {_name}")(lambda room, cls=_class, file=_file: with_layer(room, cls, vocabulary=file))


@hostile("vocabulary file")
def vocabulary_inside_a_feature_space(room):
    config = room.config("table")
    config["config"]["features"]["kind"]["config"]["preprocessor"]["config"]["vocabulary"] = "/etc/passwd"
    return room.with_config(config, "table")


# ---- archives
def archive_with(room, name, data=b"x"):
    return "model", room.keras({**room.members("text"), name: data})


for _name in ("../owned", "/tmp/owned", "assets/../../owned", "..\\owned", "C:\\owned", "C:owned", "\\\\server\\share\\owned", "assets/" + "a/" * 600 + "x",
              "assets/" + "n" * 300, "assets/a\nb", "assets/config.json:stream"):  # fmt: skip
    hostile("outside|too long|separators", f"member {_name[:30]!r}")(lambda room, name=_name: archive_with(room, name))


@hostile("NUL|twice")
def a_member_with_a_nul_in_its_name(room):
    _, path = archive_with(room, "config.jsonXevil")
    return "model", room.write("n.keras", path.read_bytes().replace(b"config.jsonXevil", b"config.json\0evil"))


@hostile("twice")
def two_configs(room):
    data = room.keras({**room.members(), "config.jsoX": "{}"}).read_bytes()
    return "model", room.write("t.keras", data.replace(b"config.jsoX", b"config.json"))


@hostile("twice")
def two_configs_where_case_does_not_count(room):
    return "model", room.keras({**room.members(), "CONFIG.json": "{}"})


@hostile("link")
def a_member_that_is_a_link(room):
    path = room.keras(room.members())
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo("assets/vocabulary.txt")
        info.external_attr = (0o120777) << 16
        archive.writestr(info, "/etc/passwd")
    return "model", path


def directory_entry(data, change):
    """The archive with the first entry of its directory changed."""
    at = data.index(b"PK\x01\x02")
    return data[:at] + change(data[at : at + 46]) + data[at + 46 :]


@hostile("encrypted")
def an_encrypted_member(room):
    data = room.keras(room.members()).read_bytes()
    return "model", room.write("e.keras", directory_entry(data, lambda e: e[:8] + struct.pack("<H", 1) + e[10:]))


@hostile("method")
def a_member_packed_by_bzip2(room):
    with zipfile.ZipFile(room.folder / "m.keras", "w", zipfile.ZIP_BZIP2) as archive:
        for name, data in room.members().items():
            archive.writestr(name, data)
    return "model", room.folder / "m.keras"


@hostile("declares")
def a_stored_member_that_declares_more(room):
    data = room.keras(room.members()).read_bytes()
    return "model", room.write("d.keras", directory_entry(data, lambda e: e[:24] + struct.pack("<I", 2**31) + e[28:]))


@hostile("bomb")
def an_archive_that_unpacks_to_far_more(room):
    with zipfile.ZipFile(room.folder / "m.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in room.members().items():
            archive.writestr(name, data)
        with archive.open("assets/zeros", "w") as member:
            for _ in range(280):
                member.write(bytes(2**20))
    return "model", room.folder / "m.keras"


@hostile("over another")
def members_that_share_their_bytes(room):
    path = room.keras(room.members())
    with zipfile.ZipFile(path, "a") as archive:
        first = archive.infolist()[-1]
        for i in range(100):
            again = zipfile.ZipInfo(f"assets/{i}")
            again.header_offset, again.compress_size, again.file_size, again.CRC = first.header_offset, first.compress_size, first.file_size, first.CRC
            archive.filelist.append(again)
        archive._didModify = True
    return "model", path


@hostile("members")
def an_archive_of_many_members(room):
    members = {f"assets/{i}": b"" for i in range(12_000)}
    return "model", room.keras({**room.members(), **members})


@hostile("directory")
def an_archive_with_a_huge_directory(room):
    return "model", room.keras({f"assets/{i:06d}{'x' * 150}": b"" for i in range(22_000)})


@hostile("no readable archive|damaged|members|too")
def an_archive_cut_off(room):
    return "model", room.write("c.keras", room.seed("mlp.keras")[:20_000])


@hostile("no readable archive|damaged|directory")
def an_archive_with_lying_offsets(room):
    data = bytearray(room.seed("mlp.keras"))
    at = data.index(b"PK\x05\x06")
    data[at + 12 : at + 20] = struct.pack("<II", 2**31, 2**31)
    return "model", room.write("o.keras", bytes(data))


@hostile("damaged|CRC")
def an_archive_with_other_bytes(room):
    data = room.seed("mlp.keras")
    return "model", room.write("b.keras", data.replace(b'"Sequential"', b'"Functional"', 1))


@hostile("no 'config.json'")
def an_archive_without_config(room):
    return "model", room.keras({"model.weights.h5": room.members()["model.weights.h5"]})


# ---- folders
def folder_form(room, name="text"):
    folder = room.folder / "m.keras"
    for member, data in room.members(name).items():
        target = folder / member
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return folder


def replaced(room, member, replace):
    folder = folder_form(room)
    target = next(folder.rglob(member))
    target.unlink()
    replace(target)
    return "model", folder


for _member in ("config.json", "model.weights.h5", "vocabulary.txt"):
    hostile("leads out", f"folder with a link for {_member}")(
        lambda room, member=_member: replaced(room, member, lambda target: target.symlink_to("/etc/passwd")))  # fmt: skip
    hostile("regular file|not found", f"folder with a pipe for {_member}")(lambda room, member=_member: replaced(room, member, os.mkfifo))


@hostile("leads out")
def folder_with_linked_assets(room):
    folder = folder_form(room)
    outside = room.folder / "outside"
    (folder / "assets").rename(outside)
    (folder / "assets").symlink_to(outside)
    return "model", folder


# ---- HDF5
KERNEL = "layers/dense/vars/0"


def instead_of_the_kernel(room, make, name="mlp.weights.h5", at=KERNEL):
    def change(file):
        del file[at]
        make(file, at)

    return room.h5(change, name)


def pipe(room):
    """Opening it would wait for ever."""
    path = room.folder / "pipe"
    if not path.exists():
        os.mkfifo(path)
    return str(path)


def virtual(file, at, room):
    layout = h5py.VirtualLayout((4, 3), "f4")
    layout[:] = h5py.VirtualSource(pipe(room), "x", (4, 3))
    file.create_virtual_dataset(at, layout)


def referring(file, at, dtype):
    reference = file.ref if dtype is h5py.ref_dtype else file.create_dataset("some", (3,), "f4").regionref[:]
    file.create_dataset(at, (4, 3), dtype=dtype)[0, 0] = reference


def filtered(file, at, *codes, chunk=b"x", shape=(4, 3)):
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk(shape)
    for code_ in codes:
        if code_ == 1:
            plist.set_deflate(9)
        elif code_ == 2:
            plist.set_shuffle()
        else:
            plist.set_filter(code_, h5py.h5z.FLAG_OPTIONAL, (0,))
    dataset = h5py.h5d.create(file.id, at.encode(), h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple(shape), plist)
    dataset.write_direct_chunk((0,) * len(shape), chunk)


def gzip_bomb():
    return zlib.compress(bytes(200 * 2**20), 9)


for _name, (_says, _make) in {
    "a soft link": ("SoftLink", lambda room, f, at: f.__setitem__(at, h5py.SoftLink("/layers/dense/vars/1"))),
    "a soft link to itself": ("SoftLink", lambda room, f, at: f.__setitem__(at, h5py.SoftLink("/" + at))),
    "an external link": ("ExternalLink", lambda room, f, at: f.__setitem__(at, h5py.ExternalLink(pipe(room), "/x"))),
    "a hard link to the root": ("group", lambda room, f, at: f.__setitem__(at, f["/"])),
    "a virtual dataset": ("outside the file", lambda room, f, at: virtual(f, at, room)),
    "external storage": ("outside the file", lambda room, f, at: f.create_dataset(at, (4, 3), "f4", external=[(pipe(room), 0, 48)])),
    "a committed datatype": ("Datatype", lambda room, f, at: f.__setitem__(at, np.dtype("f4"))),
    "a group for a weight": ("group", lambda room, f, at: f.create_group(at)),
    "object references": ("no numbers", lambda room, f, at: referring(f, at, h5py.ref_dtype)),
    "region references": ("no numbers", lambda room, f, at: referring(f, at, h5py.regionref_dtype)),
    "texts of any length": ("no numbers", lambda room, f, at: f.create_dataset(at, data=["x" * 1000] * 12)),
    "lists of any length": ("no numbers", lambda room, f, at: f.create_dataset(at, (4, 3), h5py.vlen_dtype("f4"))),
    "a table": ("no numbers", lambda room, f, at: f.create_dataset(at, (4, 3), [("a", "f4"), ("b", "i4")])),
    "no values": ("no numbers", lambda room, f, at: f.__setitem__(at, h5py.Empty("f4"))),
    "a shape of exabytes": ("bomb", lambda room, f, at: f.create_dataset(at, (2**30, 2**30), "f4", chunks=(1024, 1024))),
    "another shape": (r"\(4, 3\)", lambda room, f, at: f.create_dataset(at, data=np.ones((3, 4), "f4"))),
    "an unknown filter": ("filters", lambda room, f, at: filtered(f, at, 40_000)),
    "gzip in gzip": ("filters", lambda room, f, at: filtered(f, at, 1, 1)),
    "a chunk that unpacks to far more": ("bomb", lambda room, f, at: filtered(f, at, 1, chunk=gzip_bomb())),
    "a chunk that is no gzip": ("damaged", lambda room, f, at: filtered(f, at, 1, chunk=b"nonsense")),
    "a gzip bomb of honest shape": ("bomb", lambda room, f, at: f.create_dataset(at, (2**14, 2**14), "f4", chunks=(2**10, 2**14), compression="gzip")),
}.items():  # fmt: skip
    hostile(_says, f"{_name} in .weights.h5")(lambda room, make=_make: instead_of_the_kernel(room, lambda f, at: make(room, f, at)))
    hostile(f"{_says}|no numbers", f"{_name} in .h5")(lambda room, make=_make: instead_of_the_kernel(
        room, lambda f, at: make(room, f, at), "mlp.h5", "model_weights/first/mlp/first/kernel"))  # fmt: skip


for _name, (_says, _change) in {
    "a dataset for a group": ("dataset where a group", lambda room, f: (f.__delitem__("layers/dense/vars"), f.create_dataset("layers/dense/vars", data=1.0))),
    "an external link for a group": ("ExternalLink", lambda room, f: (f.__delitem__("layers"), f.__setitem__("layers", h5py.ExternalLink(pipe(room), "/x")))),
    "a soft link for a group": ("SoftLink", lambda room, f: (f.move("layers", "other"), f.__setitem__("layers", h5py.SoftLink("/other")))),
    "an optimizer's state by a link": ("SoftLink", lambda room, f: (f.__delitem__("optimizer"), f.__setitem__("optimizer", h5py.SoftLink("/layers")))),
    "a name that is an array of references": ("text nor numbers|do not fit|shape", lambda room, f: (
        f["layers/dense/vars"].attrs.create("name", [f.ref] * 9, dtype=h5py.ref_dtype), f[KERNEL].attrs.create("dtype", f.ref, dtype=h5py.ref_dtype))),
    "a dtype mark on numbers": ("", lambda room, f: (f.__delitem__(KERNEL), f.create_dataset(KERNEL, data=np.zeros((4, 3), "V2")))),
    "no weights at all": ("not be loaded|expected", lambda room, f: f.__delitem__("layers")),
}.items():  # fmt: skip
    hostile(_says, f"{_name} in .weights.h5")(lambda room, change=_change: room.h5(lambda f: change(room, f)))

for _name, (_says, _change) in {
    "model_config that is a number": ("not JSON", lambda room, f: f.attrs.__setitem__("model_config", 5)),
    "model_config that is an array": ("JSON", lambda room, f: f.attrs.__setitem__("model_config", np.arange(5))),
    "model_config that is a reference": ("neither text nor numbers", lambda room, f: f.attrs.create("model_config", f.ref, dtype=h5py.ref_dtype)),
    "model_config of no kind": ("class_name", lambda room, f: f.attrs.__setitem__("model_config", '{"class_name": 1}')),
    "model_config of os.system": ("Could not locate", lambda room, f: f.attrs.__setitem__("model_config", '{"class_name": "system", "config": {}}')),
    "training_config of os.system": ("Could not locate", lambda room, f: f.attrs.__setitem__(
        "training_config", '{"optimizer_config": {"class_name": "system", "module": "os", "config": {}}}')),
    "training_config that is a list": ("should hold an object", lambda room, f: f.attrs.__setitem__("training_config", "[]")),
    "layer names that are numbers": ("should list names", lambda room, f: f["model_weights"].attrs.__setitem__("layer_names", [1.0, 2.0])),
    "layer names that climb": ("not in|missing", lambda room, f: f["model_weights"].attrs.__setitem__("layer_names", [b"../../x", b"."])),
    "weight names that are objects": ("neither text nor numbers", lambda room, f: f["model_weights/first"].attrs.create(
        "weight_names", [f.ref], dtype=h5py.ref_dtype)),
    "weight names of a group": ("no numbers", lambda room, f: f["model_weights/first"].attrs.__setitem__("weight_names", [b"mlp", b"mlp"])),
    "an external link for all weights": ("ExternalLink", lambda room, f: (
        f.__delitem__("model_weights"), f.__setitem__("model_weights", h5py.ExternalLink(pipe(room), "/x")))),
    "an external link for the optimizer": ("ExternalLink", lambda room, f: (
        f.__delitem__("optimizer_weights"), f.__setitem__("optimizer_weights", h5py.ExternalLink(pipe(room), "/x")))),
    "an external link for a layer": ("ExternalLink", lambda room, f: (
        f.__delitem__("model_weights/first"), f.__setitem__("model_weights/first", h5py.ExternalLink(pipe(room), "/x")))),
    "a dataset for all weights": ("dataset where a group", lambda room, f: (f.__delitem__("model_weights"), f.create_dataset("model_weights", data=1.0))),
}.items():  # fmt: skip
    hostile(_says, f"{_name} in .h5")(lambda room, change=_change: room.h5(lambda f: change(room, f), "mlp.h5"))


@hostile("no readable HDF5|damaged")
def h5_cut_off(room):
    return "weights", room.write("c.weights.h5", room.seed("mlp.weights.h5")[:9000])


@hostile("times")
def h5_text_that_is_mentioned_thousands_of_times(room):
    """A list of names that are all the one text of a megabyte: four gigabytes when it is read."""
    _, path = room.h5(lambda file: (file.attrs.__setitem__("model_config", "x" * 2**20),
                                    file["model_weights"].attrs.__setitem__("layer_names", [f"{i}" for i in range(3000)])), "mlp.h5")  # fmt: skip
    data = path.read_bytes()
    start = next(at for at in range(len(data)) if data[at : at + 4] == b"GCOL" and int.from_bytes(data[at + 8 : at + 16], "little") > 2**20)
    at = start + 16
    while int.from_bytes(data[at + 8 : at + 16], "little") < 2**20:
        at += 16 + (int.from_bytes(data[at + 8 : at + 16], "little") + 7) // 8 * 8
    mention = (2**20).to_bytes(4, "little") + start.to_bytes(8, "little") + data[at : at + 2] + b"\0\0"
    assert data.count(mention) == 1
    for heap in [i for i in range(0, len(data), 8) if data[i : i + 8] == b"GCOL\1\0\0\0"]:
        data = re.sub(rb"(?s)[\1-\4]\0\0\0" + re.escape(heap.to_bytes(8, "little")) + rb"..\0\0", lambda _: mention, data)
    return "model", room.write("t.h5", data)


@hostile("no size")
def h5_heap_that_never_ends(room):
    data = bytearray(room.seed("mlp.h5"))
    at = data.index(b"GCOL") + 16
    data[at : at + 16] = bytes(16)
    return "model", room.write("h.h5", bytes(data))


@hostile("not found")
def h5_that_is_a_pipe(room):
    os.mkfifo(room.folder / "p.weights.h5")
    return "weights", room.folder / "p.weights.h5"


@hostile("SoftLink")
def links_are_refused_where_mismatches_are_skipped(room):
    _, path = instead_of_the_kernel(room, lambda file, at: file.__setitem__(at, h5py.SoftLink("/x")))
    return "skip_mismatch", path


# ---- shards
for _name, (_says, _places) in {
    "a shard in the folder above": ("outside", ["../secret.weights.h5"]), "a shard by an absolute path": ("outside", ["/etc/passwd"]),
    "a shard that is a number": ("no index", [5]), "shards that are a number": ("no index", 5), "a shard that is not there": ("not found", ["gone.weights.h5"]),
    "a shard that is no HDF5": ("no readable HDF5", ["m.weights.json"]),
}.items():  # fmt: skip
    hostile(_says, _name)(lambda room, places=_places: (
        "weights", room.write("m.weights.json", json.dumps({"metadata": {}, "weight_map": {"/layers/dense/vars": places}}))))  # fmt: skip


@hostile("no index")
def an_index_that_is_a_list(room):
    return "weights", room.write("m.weights.json", "[]")


# ---- the tests
def job_of(made, folder):
    loader, what = made
    what = what if isinstance(what, dict) else {"path": str(what)}
    return {"loader": loader, "model": "mlp", "folder": str(folder), **what}


@pytest.mark.parametrize("name", CASES)
def test_hostile_files_are_refused(name, process, seeds, tmp_path):
    make, says = CASES[name]
    answer = process.ask(job_of(make(Room(tmp_path, seeds[0])), tmp_path))
    assert not answer["effects"], answer
    assert answer["outcome"] in (*NAMED, "FileNotFoundError"), answer
    assert re.search(says, answer["message"]), answer


def test_there_are_many():
    assert len(CASES) >= 150


def test_benign_files_load(process, seeds, tmp_path):
    """What the hostile ones are made of is fine as it is."""
    folder, files = seeds
    for name, (loader, model) in files.items():
        answer = process.ask({"loader": loader, "model": model, "folder": str(folder), "path": str(folder / name)})
        assert (answer["outcome"], answer["effects"]) == ("loads", []), (name, answer)


@pytest.mark.parametrize("what", ["read", "write", "run", "connect", "import", "evaluate", "unmarshal", "settings", "memory", "crash"])
def test_the_guard_sees_what_no_loader_may_do(what, process, tmp_path):
    answer = process.ask({"loader": "misbehave", "what": what, "folder": str(tmp_path)})
    if what in ("memory", "crash"):
        assert answer["outcome"] == {"memory": "MemoryError", "crash": "crash"}[what]
    else:
        assert answer["effects"], answer


def test_damaged_files_load_or_are_refused(tmp_path):
    """A short run of tools/fuzz_files."""
    with fuzzing.Fuzzer(tmp_path / "findings") as fuzzer:
        counts = fuzzer.run(0, 150)
    assert not fuzzer.found, fuzzer.found
    assert counts["loads"] and counts["ValueError"] and counts["UnsafeFileError"]


def test_only_parts_of_models_can_be_named():
    """Nothing that reads or writes files, or reaches the net, is among what a file may name."""
    families = {"layers", "losses", "metrics", "ops", "random", "initializers", "activations", "optimizers", "constraints", "regularizers", "models",
                "dtype_policies", "utils"}  # fmt: skip
    assert {family for family, _ in saveable.registry.objects} <= families
    assert {name for family, name in saveable.registry.objects if family == "utils"} == {"FeatureSpace"}
