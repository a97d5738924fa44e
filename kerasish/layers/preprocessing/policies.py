"""Image layers that apply others, chosen at random."""

import functools

from kerasish import ops, random, tree
from kerasish.layers.arguments import DataFormat
from kerasish.layers.preprocessing.base import BaseImagePreprocessingLayer
from kerasish.layers.preprocessing.color import (
    RandomBrightness,
    RandomColorDegeneration,
    RandomContrast,
    RandomPosterization,
    RandomSharpness,
    Solarization,
    checked_range,
)
from kerasish.layers.preprocessing.contrast import AutoContrast, Equalization
from kerasish.layers.preprocessing.geometry import RandomRotation, RandomShear, RandomTranslation


class _Policy(BaseImagePreprocessingLayer):
    """Base: ``_names`` are the layers to choose from and the attributes that they are kept under."""

    _FACTOR_BOUNDS = (0, 1)
    _names = ()

    def check(self):
        super().check()
        self.value_range = checked_range(self.value_range)
        for name in self._names:
            setattr(self, name, self._member(name))

    def _member(self, name):
        f = self.factor
        cls, strength = {
            "random_shear": (RandomShear, {"x_factor": f, "y_factor": f}),
            "random_translation": (RandomTranslation, {"height_factor": f, "width_factor": f}),
            "random_rotation": (RandomRotation, {"factor": f}),
            "random_brightness": (RandomBrightness, {"factor": f}),
            "random_color_degeneration": (RandomColorDegeneration, {"factor": f}),
            "random_contrast": (RandomContrast, {"factor": f}),
            "random_sharpness": (RandomSharpness, {"factor": f}),
            "random_posterization": (RandomPosterization, {"factor": max(1, int(8 * f[1]))}),
            "solarization": (Solarization, {"addition_factor": f, "threshold_factor": f}),
            "auto_contrast": (AutoContrast, {}),
            "equalization": (Equalization, {}),
        }[name]
        common = {key: getattr(self, key) for key in ("value_range", "interpolation", "seed") if key in cls.fields}
        common["dtype"] = self.dtype_policy
        return cls(**strength, **common, data_format=self.data_format, bounding_box_format=self.bounding_box_format)

    def build(self, input_shape):
        for name in self._names:
            getattr(self, name).build(input_shape)

    def _draw_all(self, data, seed):
        """What each of the layers would do with the data, by name."""
        return {name: getattr(self, name).get_random_transformation(data, seed=seed) for name in self._names}

    def _applied(self, method, number, transformations, x):
        """What the layer with that number makes of ``x``; a number beyond the last one stands for no layer."""
        branches = [functools.partial(self._one, name, method, transformations[name]) for name in self._names]
        return ops.switch(number, [*branches, lambda x: x], x)

    def _one(self, name, method, transformation, x):
        given = dict(x) if isinstance(x, dict) else x
        y = getattr(getattr(self, name), method)(given, transformation)
        return tree.map_structure(lambda new, old: ops.cast(new, old.dtype), y, x)  # all branches give the same kind


class RandAugment(_Policy):
    """Applies ``num_ops`` of eleven augmentations, drawn anew for each batch, in training (``keras.layers.RandAugment``).

    ``factor``: bounds from 0 to 1 of their strength; a number f means ``(0, f)``. E. Cubuk et al. 2019.

    >>> RandAugment(num_ops=0)(ops.ones((1, 2, 2, 3)), training=True).shape
    (1, 2, 2, 3)
    """

    _names = (
        "random_shear", "random_translation", "random_rotation", "random_brightness", "random_color_degeneration",
        "random_contrast", "random_sharpness", "random_posterization", "solarization", "auto_contrast", "equalization",
    )  # fmt: skip
    value_range: tuple = (0, 255)
    num_ops: int = 2
    factor: float = 0.5
    interpolation: str = "bilinear"
    seed: int = None
    data_format: DataFormat = None

    def get_random_transformation(self, data, training=True, seed=None):
        if not training:
            return None
        seed = self.generator if seed is None else seed
        numbers = random.randint((self.num_ops,), 0, len(self._names), seed=seed)
        return {"transforms": self._draw_all(data, seed), "layer_idxes": numbers}

    def _all_applied(self, method, transformation, x):
        numbers = ops.convert_to_tensor(transformation["layer_idxes"])
        for i in range(self.num_ops):
            x = self._applied(method, numbers[i], transformation["transforms"], x)
        return x

    def _transform_images(self, images, transformation, interpolation):
        return self._all_applied("transform_images", transformation, images)

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        if not training:
            return segmentation_masks
        masks = ops.cast(segmentation_masks, self.compute_dtype)
        return self._all_applied("transform_segmentation_masks", transformation, masks)

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        return self._all_applied("transform_bounding_boxes", transformation, bounding_boxes) if training else bounding_boxes


class AugMix(_Policy):
    """Blends each image with chains of augmentations of it in training (``keras.layers.AugMix``; D. Hendrycks et al. 2019).

    ``num_chains`` chains of up to ``chain_depth`` augmentations, of strength ``factor``, the same for the whole batch, are weighted by
    Dirichlet(alpha), and image and chains by Beta(alpha, alpha). ``all_ops`` False leaves out those that benchmarks test with.

    >>> AugMix(num_chains=1, chain_depth=1)(ops.ones((1, 2, 2, 3)), training=True).shape
    (1, 2, 2, 3)
    """

    value_range: tuple = (0, 255)
    num_chains: int = 3
    chain_depth: int = 3
    factor: float = 0.3
    alpha: float = 1.0
    all_ops: bool = True
    interpolation: str = "bilinear"
    seed: int = None
    data_format: DataFormat = None

    @property
    def _names(self):
        names = (
            "random_shear", "random_translation", "random_rotation", "random_posterization", "solarization", "auto_contrast",
            "equalization",
        )  # fmt: skip
        more = ("random_brightness", "random_color_degeneration", "random_contrast", "random_sharpness")
        return names + more if self.all_ops else names

    def get_random_transformation(self, data, training=True, seed=None):
        if not training:
            return None
        seed = self.generator if seed is None else seed
        gamma = random.gamma((self.num_chains,), self.alpha, seed=seed)
        numbers = random.randint((self.num_chains, self.chain_depth), 0, len(self._names) + 1, seed=seed)
        return {
            "chain_mixing_weights": gamma / ops.sum(gamma),
            "weight_sample": random.beta((), self.alpha, self.alpha, seed=seed),
            "chain_transforms": [[self._draw_all(data, seed) for _ in range(self.chain_depth)] for _ in range(self.num_chains)],
            "layer_idxes": numbers,
        }

    def _mixed(self, method, transformation, x):
        weights, share = (ops.cast(transformation[key], x.dtype) for key in ("chain_mixing_weights", "weight_sample"))
        mixed = ops.zeros_like(x)
        for i, chain in enumerate(transformation["chain_transforms"]):
            y = x
            for j, transformations in enumerate(chain):
                y = self._applied(method, transformation["layer_idxes"][i, j], transformations, y)
            mixed = mixed + y * weights[i]
        return share * x + (1 - share) * mixed

    def _transform_images(self, images, transformation, interpolation):
        return ops.clip(self._mixed("transform_images", transformation, images), *self.value_range)

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        if not training:
            return segmentation_masks
        masks = ops.cast(segmentation_masks, self.compute_dtype)
        return self._mixed("transform_segmentation_masks", transformation, masks)
