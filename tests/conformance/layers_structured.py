"""Rows for layers that prepare numbers, categories and sound.

Those that work on strings, or hash, need TensorFlow in real Keras: tests/layers/test_structured_preprocessing.py has their values.
"""

from tests.conformance.layer_driver import A, config, layer_row

INDICES = A(3, 4, dtype="int32", low=0, high=5)
SOUND = A(2, 64)

ROWS = [
    layer_row(
        "Normalization",
        config(mean=0.5, variance=2.0),
        config(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 0.5], invert=True),
        config(axis=(1, -1), mean=[[1.0, 2.0], [3.0, 4.0], [0.5, 0.1]], variance=[[1.0, 2.0], [3.0, 4.0], [0.5, 0.1]]).but(
            inputs=[A(4, 3, 2)], masks=[A(4, 3, dtype="bool")]
        ),
        config(axis=None, mean=0.1, variance=0.3).but(inputs=[A(2, 3, 4)]),
        config(axis=1, invert=True, name="other"),
        inputs=[A(4, 3)],
        weights=None,  # Keras takes new ones only after finalize_state
    ),
    layer_row(
        "Discretization",
        config(bin_boundaries=[-0.5, 0.0, 0.5]),
        config(bin_boundaries=[-0.5, 0.0, 0.5], output_mode="one_hot"),
        config(bin_boundaries=[0.0], output_mode="one_hot").but(inputs=[A(4, 1)]),
        config(bin_boundaries=[-0.5, 0.0, 0.5], output_mode="multi_hot"),
        config(bin_boundaries=[-0.5, 0.0, 0.5], output_mode="count", name="other"),
        inputs=[A(4, 5)],
        grad=False,
    ),
    layer_row(
        "CategoryEncoding",
        config(6),
        config(4, output_mode="count"),
        config(6, output_mode="count").but(call={"count_weights": A(3, 4)}, grad=False),
        config(6, output_mode="one_hot"),
        config(6, output_mode="one_hot").but(inputs=[A(3, 1, dtype="int32", low=0, high=5)]),
        inputs=[INDICES],
        grad=False,
    ),
    layer_row(
        "STFTSpectrogram",
        config(frame_length=8),
        config(mode="magnitude", frame_length=8, frame_step=3, fft_length=16, expand_dims=True),
        config(mode="psd", frame_length=8, scaling="spectrum", padding="same", window="hamming", periodic=True),
        config(mode="real", frame_length=6, window=None, scaling=None, trainable=False),
        config(mode="imag", frame_length=8, data_format="channels_first").but(inputs=[A(3, 2, 20)]),
        config(mode="angle", frame_length=8, expand_dims=True, data_format="channels_first").but(inputs=[A(3, 2, 20)], grad=False),
        config(mode="stft", frame_length=8, frame_step=5),
        config(mode="stft", frame_length=8, expand_dims=True),
        inputs=[A(3, 20, 2)],
        weights=None,
        tol=2e-5,
    ),
    layer_row(
        "MelSpectrogram",
        config(fft_length=16, sequence_stride=8, num_mel_bins=4),
        config(fft_length=16, sequence_stride=4, sequence_length=10, num_mel_bins=3, window="hamming", power_to_db=False, mag_exp=1.0),
        config(fft_length=16, sequence_stride=8, num_mel_bins=4, sampling_rate=8000, max_freq=3000.0, top_db=20.0, ref_power=2.0),
        config(fft_length=16, sequence_stride=8, num_mel_bins=4, power_to_db=False).but(inputs=[A(64)], symbolic=False, empty=False),
        inputs=[SOUND],
        tol=1e-4,
        empty=False,  # the loudest of nothing is not there
    ),
]
