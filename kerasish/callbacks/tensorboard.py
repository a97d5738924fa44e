"""TensorBoard: what TensorBoard shows of a training."""

import os
import time
import warnings

import numpy as np

from kerasish import config
from kerasish.callbacks.callback import Callback
from kerasish.callbacks.event_files import EventFile, has_graph, needs_tensorboard
from kerasish.callbacks.learning_rate import learning_rate_logs
from kerasish.callbacks.logs import pythonify_logs
from kerasish.data.random_state import get_random_state, set_random_state
from kerasish.layers.core import Embedding


class TensorBoard(Callback):
    """Write files that TensorBoard shows (``keras.callbacks.TensorBoard``), into ``train`` and ``validation`` below ``log_dir``.

    Logs and learning rates of each epoch; with ``update_freq`` ("batch", or a number) also those of each so many batches; with
    ``write_steps_per_second`` the speed. Each ``histogram_freq`` epochs the weights' histograms, with ``write_images`` also the
    weights as images (the least black, the greatest white). ``write_graph``: the model's layers. ``profile_batch`` (a number, or the
    first and last of a range): after this batch a table of where the time of a step goes, as ``Model.profile_step`` measures it on
    the first batch, among the texts. Each ``embeddings_freq`` epochs all weights for the projector, with ``embeddings_metadata`` (a
    file for all Embeddings, or a dict from a layer's name to a file). Needs the extra ``tensorboard``.

    >>> TensorBoard("logs", update_freq="batch").update_freq
    1
    """

    _reads_batch_logs_itself = True
    state_attributes = ("_global_train_batch", "_global_test_batch")

    def __init__(self, log_dir="logs", histogram_freq=0, write_graph=True, write_images=False, write_steps_per_second=False,
                 update_freq="epoch", profile_batch=0, embeddings_freq=0, embeddings_metadata=None):  # fmt: skip
        super().__init__()
        self.log_dir = os.fspath(log_dir)
        self.histogram_freq, self.write_graph, self.write_images = histogram_freq, write_graph, write_images
        self.write_steps_per_second = write_steps_per_second
        self.update_freq = 1 if update_freq == "batch" else update_freq
        self.embeddings_freq, self.embeddings_metadata = embeddings_freq, embeddings_metadata
        self._start_batch, self._stop_batch = _range(profile_batch)
        self._train_dir, self._val_dir = os.path.join(self.log_dir, "train"), os.path.join(self.log_dir, "validation")
        self._global_train_batch = self._global_test_batch = 0
        self._files: dict = {}

    def set_model(self, model):
        needs_tensorboard()
        super().set_model(model)
        self.close()
        self._graph_is_due = self.write_graph
        if self.write_graph and has_graph(model):
            self._train_file.model("keras", model)
        if self.embeddings_freq:
            self._write_projector_config()

    @property
    def _train_file(self):
        return self._file(self._train_dir)

    @property
    def _val_file(self):
        return self._file(self._val_dir)

    def _file(self, folder):
        if folder not in self._files:
            self._files[folder] = EventFile(folder)
        return self._files[folder]

    def close(self):
        """Close the files; what comes later goes into new ones."""
        while self._files:
            self._files.popitem()[1].close()

    # ---- training
    def on_train_begin(self, logs=None):
        self._global_train_batch = 0

    def on_train_end(self, logs=None):
        if 0 < self._start_batch <= self._global_train_batch < self._stop_batch:  # the training ended within the range
            self._write_profile()
        self.close()

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch_begun, self._batches_before = time.perf_counter(), self._global_train_batch

    def on_train_batch_begin(self, batch, logs=None):
        self._batch_begun, self._first_batch = time.perf_counter(), batch

    def on_train_batch_end(self, batch, logs=None):
        before, self._global_train_batch = self._global_train_batch, self._global_train_batch + batch - self._first_batch + 1
        if self._graph_is_due:
            self._train_file.graph(self.model)
            self._graph_is_due = False
        if self._is_due(before, self._global_train_batch):
            self._write_batch(batch, logs)
        if before < self._stop_batch <= self._global_train_batch:
            self._write_profile()

    def _is_due(self, before, now):
        """Whether a multiple of ``update_freq`` has gone by; several batches may do so at once."""
        return self.update_freq != "epoch" and now // self.update_freq > before // self.update_freq

    def _write_batch(self, batch, logs):
        values = pythonify_logs(logs)
        if self.write_steps_per_second:
            values["steps_per_second"] = (batch - self._first_batch + 1) / (time.perf_counter() - self._batch_begun)
        self._write_numbers(self._train_file, "batch_{}", values, self._global_train_batch)

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        validation = {name.removeprefix("val_"): value for name, value in logs.items() if name.startswith("val_")}
        training = {name: value for name, value in logs.items() if not name.startswith("val_")}
        if training:
            self._write_epoch(epoch, training)
        if validation:
            self._write_numbers(self._val_file, "epoch_{}", validation, epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            self._write_weights(epoch)
        if self.embeddings_freq and epoch % self.embeddings_freq == 0:
            self.model.save_weights(os.path.join(self._train_dir, f"keras_embedding.ckpt-{epoch}.weights.h5"))
        for file in self._files.values():
            file.flush()

    def _write_epoch(self, epoch, logs):
        optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        rates = {} if optimizer is None else learning_rate_logs(optimizer)
        speed = {}
        if self.write_steps_per_second:
            batches, seconds = self._global_train_batch - self._batches_before, time.perf_counter() - self._epoch_begun
            speed = {"steps_per_second": batches / seconds}
        self._write_numbers(self._train_file, "epoch_{}", {**logs, **rates, **speed}, epoch)

    @staticmethod
    def _write_numbers(file, tag, values, step):
        for name, value in values.items():
            if np.ndim(value) == 0 and not isinstance(value, str):
                file.scalar(tag.format(name), value, step)

    # ---- evaluation
    def on_test_batch_begin(self, batch, logs=None):
        self._global_test_batch += 1

    def on_test_end(self, logs=None):
        iterations = getattr(self.model.optimizer, "iterations", None)
        if iterations is not None:
            self._write_numbers(self._val_file, "evaluation_{}_vs_iterations", logs or {}, int(iterations))
            self._val_file.flush()

    # ---- weights
    def _write_weights(self, epoch):
        for layer in self.model.layers:
            for weight in layer.weights:
                value = weight.numpy().astype("float32")
                name = weight.path.replace(":", "_")
                self._train_file.histogram(f"{name}/histogram", value, epoch)
                images = _as_images(value) if self.write_images else None
                if images is not None:
                    self._train_file.images(f"{name}/image", images, epoch)

    def _write_projector_config(self):
        from google.protobuf import text_format
        from tensorboard.plugins import projector

        given = self.embeddings_metadata
        files = dict(given) if isinstance(given, dict) else {}
        wanted = projector.ProjectorConfig()
        for layer in self.model.layers:
            if isinstance(layer, Embedding):
                # the name that Keras gives it, for the first layer of a checkpoint
                embedding = wanted.embeddings.add(tensor_name="layer_with_weights-0/embeddings/.ATTRIBUTES/VARIABLE_VALUE")
                path = files.pop(layer.name, None) if isinstance(given, dict) else given
                if path is not None:
                    embedding.metadata_path = os.fspath(path)
        if files:
            raise ValueError(f"`embeddings_metadata` names layers that are no `Embedding` of the model: {list(files)}")
        os.makedirs(self.log_dir, exist_ok=True)
        with open(os.path.join(self.log_dir, "projector_config.pbtxt"), "w", encoding="utf-8") as file:
            file.write(text_format.MessageToString(wanted))

    # ---- the profile
    def _write_profile(self):
        state = get_random_state()
        try:  # a look at the data may draw an order, which must not be missing in the next epoch
            batch = self.model._train_epochs.batches.peek()
            x, y, sample_weight = (*batch, None, None)[:3] if isinstance(batch, tuple) else (batch, None, None)
            table = str(self.model.profile_step(x, y, sample_weight, steps=self._stop_batch - self._start_batch + 1))
        except ValueError as error:
            warnings.warn(f"No profile of batch {self._stop_batch}: {error}", stacklevel=2)
            return
        finally:
            set_random_state(state)
        self._train_file.text(f"batch_{self._stop_batch}", f"```\n{table}\n```", self._stop_batch)


def _range(profile_batch):
    """First and last batch to profile; 0, 0 for none."""
    given = profile_batch
    try:
        if isinstance(given, str):
            given = [int(part) for part in given.split(",")]
        first, last = (given, given) if isinstance(given, int) else given[:1] * 2 if len(given) == 1 else given
        if 0 <= first <= last and isinstance(first, int) and isinstance(last, int):
            return first, last
    except (TypeError, ValueError):
        pass
    raise ValueError(f"profile_batch is a non-negative integer or the pair (first, last batch to profile), got {profile_batch!r}")


def _as_images(weight):
    """A weight as grey or coloured images of bytes ``(number, height, width, channels)``, None where it has too many axes."""
    image = np.squeeze(weight)
    if image.ndim == 1:
        image = image[None, :, None, None]
    elif image.ndim == 2:
        image = (image.T if image.shape[0] > image.shape[1] else image)[None, :, :, None]
    elif image.ndim == 3:  # each kernel of a convolution is an image
        image = (image.transpose(2, 0, 1) if config.image_data_format() == "channels_last" else image)[..., None]
    if image.ndim != 4 or image.shape[-1] not in (1, 3, 4):
        return None
    image = np.nan_to_num(image.astype("float64"), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = image.min(), image.max()
    return np.uint8(np.round(255 * (image - low) / (high - low if high > low else 1)))
