"""Learning rate schedules (``keras.optimizers.schedules``)."""

from kerasish.optimizers.schedules.decays import CosineDecay as CosineDecay
from kerasish.optimizers.schedules.decays import CosineDecayRestarts as CosineDecayRestarts
from kerasish.optimizers.schedules.decays import ExponentialDecay as ExponentialDecay
from kerasish.optimizers.schedules.decays import InverseTimeDecay as InverseTimeDecay
from kerasish.optimizers.schedules.decays import PiecewiseConstantDecay as PiecewiseConstantDecay
from kerasish.optimizers.schedules.decays import PolynomialDecay as PolynomialDecay
from kerasish.optimizers.schedules.schedule import LearningRateSchedule as LearningRateSchedule
from kerasish.optimizers.schedules.schedule import deserialize as deserialize
from kerasish.optimizers.schedules.schedule import serialize as serialize
