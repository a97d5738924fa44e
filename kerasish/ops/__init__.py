"""The public ops (``keras.ops``)."""

from kerasish.ops import image as image
from kerasish.ops import linalg as linalg
from kerasish.ops import numpy as numpy
from kerasish.ops import operators as operators
from kerasish.ops.activation import *
from kerasish.ops.attention import *
from kerasish.ops.control import *
from kerasish.ops.conv import *
from kerasish.ops.core import *
from kerasish.ops.creation import *
from kerasish.ops.crossentropy import *
from kerasish.ops.ctc import *
from kerasish.ops.decomposition import *
from kerasish.ops.elementwise import *
from kerasish.ops.fourier import *
from kerasish.ops.indexing import *
from kerasish.ops.nn import *
from kerasish.ops.normalization import *
from kerasish.ops.pooling import *
from kerasish.ops.products import *
from kerasish.ops.reduction import *
from kerasish.ops.shaping import *
