"""What the tests of layers share."""

import keras as real_keras
import pytest

import kerasish
from kerasish.backend.autodiff.state import clear_session


@pytest.fixture(params=["real", "ours"])
def keras(request):
    """Real Keras, then kerasish: a test of behaviour that both must show."""
    if request.param == "ours":
        clear_session()
        return kerasish
    real_keras.utils.clear_session(free_memory=False)
    return real_keras
