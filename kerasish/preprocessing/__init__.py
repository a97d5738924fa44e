"""Names of Keras 2 for what is in ``kerasish.utils`` (``keras.preprocessing``)."""

from kerasish.preprocessing import image, sequence
from kerasish.utils.folders import image_dataset_from_directory, text_dataset_from_directory
from kerasish.utils.timeseries import timeseries_dataset_from_array

__all__ = ["image", "image_dataset_from_directory", "sequence", "text_dataset_from_directory", "timeseries_dataset_from_array"]
