"""How what is in a clip moves, in numbers that have a sign."""

import numpy as np

MOTION_FEATURES = 16
# So many of them, the first ones, are directions.
DIRECTIONS = 6
# Times this, they are those of the clip played backwards: all but the share that changes turn.
REVERSAL = np.array([-1.0] * 6 + [1.0] + [-1.0] * 9, np.float32)
