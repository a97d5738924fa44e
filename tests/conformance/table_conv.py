"""Convolutions, patches and pixel shuffles."""

from tests.conformance.driver import A, case, row

IMAGE = A(2, 7, 6, 2)
KERNEL = A(3, 2, 2, 3)
FIRST = A(2, 2, 7, 6)  # channels first

ROWS = [
    row(
        "ops.conv",
        case(A(2, 8, 3), A(3, 3, 4)),
        case(A(2, 8, 3), A(3, 3, 4), 2, "same"),
        case(A(2, 8, 6), A(3, 6, 4), padding="same", dilation_rate=2),
        case(A(2, 3, 8), A(3, 3, 4), strides=(2,), data_format="channels_first"),
        case(IMAGE, KERNEL),
        case(IMAGE, KERNEL, padding="SAME"),
        case(IMAGE, KERNEL, strides=2, padding="same"),
        case(IMAGE, KERNEL, strides=(3, 1), padding="valid", data_format="channels_last"),
        case(IMAGE, KERNEL, dilation_rate=(2, 3)),
        case(IMAGE, KERNEL, dilation_rate=2, padding="same"),
        case(IMAGE, KERNEL, strides=(2, 3), dilation_rate=(3, 2), padding="same"),
        case(FIRST, KERNEL, padding="same", data_format="channels_first"),
        case(FIRST, KERNEL, strides=(1, 2), data_format="channels_first"),
        case(A(2, 4, 5, 3), A(1, 1, 3, 2)),
        case(A(2, 4, 5, 3), A(1, 1, 3, 2), strides=2),
        case(A(2, 10, 10, 6), A(3, 3, 6, 5)),  # many windows: copied along one axis
        case(A(2, 10, 10, 6), A(3, 3, 6, 5), padding="same", dilation_rate=2),
        case(A(2, 10, 10, 6), A(3, 3, 6, 5), strides=(1, 2), padding="same"),
        case(A(2, 5, 5, 6), A(3, 3, 6, 5)),  # few windows: copied whole
        case(A(2, 5, 5, 6), A(3, 3, 6, 5), strides=2, padding="same"),
        case(A(2, 6, 5, 5), A(3, 3, 6, 5), data_format="channels_first"),
        case(A(2, 5, 5, 6), A(3, 3, 2, 6)),  # three groups
        case(A(2, 5, 5, 6), A(2, 3, 1, 12), strides=2, padding="same"),  # six groups of one channel
        case(A(2, 5, 5, 10), A(3, 3, 5, 4), padding="same"),  # two groups with more channels
        case(A(2, 4, 5, 5), A(2, 2, 2, 6), data_format="channels_first", dilation_rate=2),
        case(A(1, 5, 6, 4, 2), A(2, 3, 2, 2, 3)),
        case(A(1, 5, 6, 4, 2), A(2, 3, 2, 2, 3), strides=(2, 1, 2), padding="same"),
        case(A(1, 9, 10, 10, 5), A(2, 3, 3, 5, 2)),
        case(A(1, 4, 5, 6, 4), A(2, 2, 2, 2, 2), data_format="channels_first", dilation_rate=(1, 2, 1)),
    ),
    row(
        "ops.depthwise_conv",
        case(A(2, 8, 3), A(3, 3, 1)),
        case(A(2, 8, 3), A(3, 3, 2), 2, "same"),
        case(A(2, 7, 6, 5), A(3, 2, 5, 1), padding="same"),
        case(A(2, 7, 6, 5), A(3, 2, 5, 3), strides=2),
        case(A(2, 7, 6, 5), A(3, 2, 5, 2), dilation_rate=2, padding="same"),
        case(A(2, 3, 7, 6), A(3, 3, 3, 2), strides=2, data_format="channels_first"),
    ),
    row(
        "ops.separable_conv",
        case(A(2, 8, 3), A(3, 3, 2), A(1, 6, 4)),
        case(A(2, 7, 6, 3), A(3, 2, 3, 2), A(1, 1, 6, 4), strides=2, padding="same"),
        case(A(2, 3, 7, 6), A(3, 2, 3, 1), A(1, 1, 3, 4), data_format="channels_first", dilation_rate=2),
    ),
    row(
        "ops.conv_transpose",
        case(A(2, 5, 3), A(3, 4, 3)),
        case(A(2, 5, 3), A(3, 4, 3), 2, "same"),
        case(A(2, 5, 3), A(2, 4, 3), strides=3),
        case(A(2, 5, 3), A(3, 4, 3), dilation_rate=2),
        case(A(2, 5, 3), A(2, 4, 3), strides=3, padding="same"),
        case(A(2, 4, 5, 2), A(3, 2, 3, 2), strides=2),
        case(A(2, 4, 5, 2), A(3, 2, 3, 2), strides=(2, 3), padding="same"),
        case(A(2, 4, 5, 2), A(3, 3, 3, 2), strides=2, padding="same", output_padding=1),
        case(A(2, 4, 5, 2), A(3, 4, 3, 2), strides=2, padding="valid", output_padding=(1, 0)),
        case(A(2, 4, 5, 2), A(2, 4, 3, 2), strides=3, padding="same", output_padding=(2, 1)),
        case(A(2, 4, 5, 2), A(3, 2, 3, 2), dilation_rate=(2, 3), padding="same"),
        case(A(2, 2, 4, 5), A(3, 2, 3, 2), strides=2, padding="same", data_format="channels_first"),
        case(A(2, 9, 9, 6), A(3, 3, 5, 6), padding="same"),
        case(A(1, 3, 4, 2, 2), A(2, 3, 2, 3, 2), strides=(2, 1, 2), padding="same"),
        case(A(1, 2, 3, 2, 2), A(3, 2, 2, 3, 2), strides=2, data_format="channels_first"),
        special=False,  # beyond the border an infinite weight meets a zero or nothing: NaN or not
    ),
    row(
        "ops.unfold",
        case(A(2, 3, 5, 6), 2),
        case(A(2, 3, 5, 6), (2, 3), dilation=2, padding=1, stride=2),
        case(A(2, 3, 5, 6), (3, 2), (1, 2), (0, 2), (2, 1)),
        zero_size=True,
    ),
    row(
        "ops.fold",
        case(A(2, 12, 20), (5, 6), 2),
        case(A(2, 18, 6), (5, 6), (2, 3), dilation=2, padding=1, stride=2),
        case(A(2, 12, 16), output_size=(5, 6), kernel_size=(3, 2), dilation=(1, 2), padding=(0, 2), stride=(2, 1)),
        case(A(2, 4, 16), 5, 2),
    ),
    row(
        "ops.depth_to_space",
        case(A(2, 3, 4, 8), 2),
        case(A(2, 18, 3, 2), 3, "channels_first"),
        zero_size=True,
    ),
    row(
        "ops.space_to_depth",
        case(A(2, 4, 6, 2), 2),
        case(A(2, 2, 6, 9), 3, data_format="channels_first"),
        zero_size=True,
    ),
]
