"""Image layers that spread the values of an image over the whole range: stretched, or by their histogram."""

from kerasish import ops
from kerasish.layers.arguments import DataFormat
from kerasish.layers.preprocessing.color import ColorLayer


class AutoContrast(ColorLayer):
    """Stretches each channel of each image to the whole value range, in inference too (``keras.layers.AutoContrast``).

    A channel that has one value only stays as it is.

    >>> AutoContrast()(ops.reshape([10.0, 20.0], (1, 2, 1, 1))).reshape((2,)).tolist()
    [0.0, 255.0]
    """

    value_range: tuple = (0, 255)

    def transform_images(self, images, transformation=None, training=True):
        images = ops.cast(images, self.compute_dtype)
        axes = (self.height_axis, self.width_axis)
        x = self._rescaled(images, self.value_range, (0, 255))
        low, high = ops.min(x, axes, keepdims=True), ops.max(x, axes, keepdims=True)
        flat = high <= low
        scale = 255.0 / ops.where(flat, 1, high - low)
        stretched = self._rescaled(ops.clip(x * scale - low * scale, 0.0, 255.0), (0, 255), self.value_range)
        return ops.where(flat, images, stretched)


class Equalization(ColorLayer):
    """Spreads the values so that all are about equally frequent, channel by channel, in training (``keras.layers.Equalization``).

    One histogram of ``bins`` bins counts a channel of the whole batch, as in Keras. Values are truncated to bins.

    >>> Equalization()(ops.reshape([0.0, 1.0, 2.0], (1, 3, 1, 1)), training=True).reshape((3,)).tolist()
    [0.0, 128.0, 255.0]
    """

    value_range: tuple = (0, 255)
    bins: int = 256
    data_format: DataFormat = None

    def _changed(self, images, transformation):
        if None in images.shape:
            return images  # only the shape matters
        x = self._rescaled(ops.moveaxis(images, self.channel_axis, 0), self.value_range, (0, 255))
        channels = ops.reshape(x, (x.shape[0], -1))
        counts = histograms(ops.cast(channels, "float32") * (self.bins - 1) / 255.0, self.bins)
        places = ops.cast(ops.clip(channels / 255.0 * (self.bins - 1), 0, self.bins - 1), "int32")
        spread = ops.cast(looked_up(self._tables(counts), places), x.dtype)
        single = ops.sum(ops.cast(counts > 0, "int32"), axis=-1, keepdims=True) <= 1
        y = ops.reshape(ops.where(single, channels, spread), x.shape)
        return ops.moveaxis(self._rescaled(y, (0, 255), self.value_range), 0, self.channel_axis)

    def _tables(self, counts):
        """For each bin of each channel the new value: the share of values below, of those above the lowest."""
        below = ops.cumsum(counts, axis=-1)
        total = below[:, -1:]
        lowest = ops.min(ops.where(below > 0, below, total), axis=-1, keepdims=True)
        others = ops.where(total == lowest, 1, total - lowest)
        share = ops.cast(below - lowest, "float32") * 255 / ops.cast(others, "float32")
        return ops.clip(ops.round(share), 0, 255)


def histograms(rows, bins):
    """How many numbers of each row, truncated, fall into each bin from 0: (rows, bins)."""
    places = ops.clip(ops.cast(rows, "int32"), 0, bins - 1) + bins * ops.arange(rows.shape[0], dtype="int32")[:, None]
    places = ops.reshape(places, (-1,))
    counts = ops.segment_sum(ops.ones_like(places), places, num_segments=bins * rows.shape[0])
    return ops.reshape(counts, (rows.shape[0], bins))


def looked_up(tables, places):
    """For each row of places what the same row of tables has there."""
    return ops.take_along_axis(tables, places, axis=-1)


class ContrastLimitedAdaptiveHistogramEqualization(ColorLayer):
    """Equalizes histograms of tiles, each clipped, and blends the tiles (``keras.layers``; K. Zuiderveld 1994), in inference too.

    ``clip_limit``: how often a value may be in a tile, in units of the mean; what is beyond goes to all alike. 0 for no limit.
    ``tile_grid_size``: tiles along height and width. Images keep their dtype.

    >>> layer = ContrastLimitedAdaptiveHistogramEqualization(clip_limit=0, tile_grid_size=(1, 1))
    >>> layer(ops.reshape([0.0, 1.0, 2.0], (1, 3, 1, 1))).reshape((3,)).tolist()
    [0.0, 127.5, 255.0]
    """

    value_range: tuple = (0, 255)
    clip_limit: float = 4.0
    tile_grid_size: tuple = (8, 8)
    data_format: DataFormat = None

    def transform_images(self, images, transformation=None, training=True):
        images = ops.convert_to_tensor(images)
        if None in images.shape:
            return images  # only the shape matters
        x = self._transform_value_range(ops.moveaxis(images, self.channel_axis, 1), self.value_range, (0, 255))
        x = self._transform_value_range(self._equalized(x), (0, 255), self.value_range)
        return ops.cast(ops.moveaxis(x, 1, self.channel_axis), images.dtype)

    def _equalized(self, images):
        """Of images ``(batch, channels, height, width)``."""
        batch, channels, height, width = images.shape
        rows, columns = self.tile_grid_size
        tile = -(-height // rows), -(-width // columns)
        padding = [(0, 0), (0, 0), (0, tile[0] * rows - height), (0, tile[1] * columns - width)]
        x = ops.cast(ops.clip(ops.pad(images, padding, mode="symmetric"), 0, 255), "int32")
        tiles = ops.transpose(ops.reshape(x, (batch * channels, rows, tile[0], columns, tile[1])), (0, 1, 3, 2, 4))
        tables = self._tables(ops.reshape(tiles, (batch * channels * rows * columns, tile[0] * tile[1])))
        tables = ops.reshape(tables, (batch * channels, rows * columns * 256))
        (above, below, down), (left, right, over) = (_neighbors(n, size) for n, size in zip((rows, columns), tile, strict=True))
        x = ops.reshape(x, (batch * channels, rows * tile[0], columns * tile[1]))

        def value(row, column):
            places = x + 256 * (columns * row[:, None] + column)
            return ops.reshape(looked_up(tables, ops.reshape(places, (batch * channels, -1))), x.shape)

        top = value(above, left) * (1.0 - over) + value(above, right) * over
        bottom = value(below, left) * (1.0 - over) + value(below, right) * over
        y = top * (1.0 - down[:, None]) + bottom * down[:, None]
        return ops.reshape(y[:, :height, :width], images.shape)

    def _tables(self, tiles):
        """For each of 256 values in each tile the new value."""
        size = tiles.shape[-1]
        counts = ops.cast(histograms(tiles, 256), "float32")
        if self.clip_limit > 0:
            kept = ops.minimum(counts, self.clip_limit * size / 256.0)
            counts = kept + ops.sum(counts - kept, axis=-1, keepdims=True) / 256.0
        below = ops.cumsum(counts, axis=-1)
        lowest = below[:, :1]
        others = size - lowest
        return ops.clip((below - lowest) * 255.0 / ops.where(others == 0, 1.0, others), 0, 255)


def _neighbors(tiles, size):
    """For each pixel along an axis the tiles whose centers it lies between, and how far it is on the way to the second."""
    place = (ops.arange(tiles * size, dtype="float32") - size / 2.0) / size
    first = ops.floor(place)
    number = ops.cast(first, "int32")
    return ops.clip(number, 0, tiles - 1), ops.clip(number + 1, 0, tiles - 1), place - first
