"""The version of kerasish."""

__version__ = "0.1.0"


def version():
    """The version as a string (``keras.version``).

    >>> version() == __version__
    True
    """
    return __version__
