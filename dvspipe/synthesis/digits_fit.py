"""Constants fitted to N-MNIST: movement, size and sharpness of the picture, and the sensor.

The fit used only the pairs of image and recording with the ids 1 to 250 of the training set, in three steps. First, the
movement: least squares between the change of the picture's log luminance and the cumulative events (ON minus OFF) of
each pixel. Second, the other constants: random search on the figures of `recordings.comparison`. Third, the movement
again, until synthetic and real recordings gave the same estimate. Leak and shot noise were counted in areas without
ink.
"""

KNOT_US = 5_000
PATH_X = (
    0,
    -1,
    -4,
    -6,
    -10,
    -11,
    -12,
    -11,
    -8,
    -2,
    7,
    32,
    67,
    98,
    131,
    155,
    164,
    170,
    173,
    178,
    184,
    191,
    199,
    210,
    223,
    244,
    276,
    308,
    343,
    376,
    397,
    410,
    422,
    440,
    462,
    480,
    493,
    504,
    512,
    522,
    533,
    546,
    556,
    563,
    566,
    564,
    536,
    496,
    448,
    398,
    349,
    298,
    242,
    187,
    136,
    95,
    64,
    39,
    19,
    6,
    1,
    0,
    0,
    0,
)
"""Displacement of the picture to the right since the start, in hundredths of a pixel, every KNOT_US."""
PATH_Y = (
    0,
    6,
    17,
    33,
    56,
    85,
    122,
    170,
    225,
    288,
    353,
    411,
    460,
    497,
    523,
    536,
    542,
    544,
    540,
    533,
    525,
    518,
    515,
    516,
    516,
    508,
    487,
    452,
    407,
    350,
    287,
    226,
    166,
    110,
    61,
    30,
    12,
    3,
    3,
    7,
    13,
    16,
    16,
    13,
    11,
    8,
    6,
    8,
    16,
    19,
    19,
    19,
    17,
    14,
    10,
    4,
    -1,
    -5,
    -5,
    -3,
    -1,
    0,
    0,
    0,
)
"""Displacement of the picture downwards, likewise."""
PAUSES_US = (75_000, 105_000, 190_000, 220_000)
"""Start and end of the pauses between the legs."""

DELAY_SPREADS_US = (1_000, 5_500, 5_500)
"""Maximum delay or advance of each leg: the display and the sensor had different clocks."""
DURATIONS_US = (301_000, 315_000)
"""Minimum and maximum duration of a recording."""

ORIGIN_PX = (13.85, 14.78)
"""Sensor column and row of the image centre at the start."""
ORIGIN_SPREAD_PX = 0.05
SCALE = 1.027
"""Sensor pixels per image pixel."""
SCALE_SPREAD = 0.01
BLUR_PX = 0.606
"""Standard deviation of the point spread, in sensor pixels."""
BLUR_SPREAD = 0.05
DISPLAY_GAMMA = 1.47
"""Exponent of the display: luminance = grey value ** DISPLAY_GAMMA, both from 0 to 1."""
BLACK = 0.099
"""Luminance of black relative to white on the display, including stray light."""
BLACK_SPREAD = 0.05

THRESHOLD = 0.350
"""Contrast threshold: geometric mean of ON and OFF."""
THRESHOLD_SPREAD = 0.03
ON_OFF_RATIO = 1.005
"""ON threshold / OFF threshold."""
ON_OFF_SPREAD = 0.01
MISMATCH = 0.1
"""Standard deviation of the thresholds over the pixels, relative to the threshold."""
LOG_OFFSET = 1e-4
CUTOFF_HZ = 2366
REFRACTORY_S = 0.0014
LEAK_RATE_HZ = 0.36
LEAK_JITTER = 0.3
SHOT_NOISE_RATE_HZ = 0.06
"""Rate in the dark; the bright background has a quarter of it."""
