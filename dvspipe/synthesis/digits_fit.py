"""Constants fitted to N-MNIST: the movement, size and sharpness of its picture, and its sensor.

Only the pairs of image and recording with the ids 1 to 250 of the training set were used. First the movement was
fitted, by least squares between the change of the picture's log luminance and the events of each pixel so far (ON minus
OFF); then the rest, by a random search on the figures of `recordings.comparison`; then the movement again, until
synthetic recordings lead to the same estimate as the real ones. Leak and shot noise were counted where there is no ink.
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
"""How far the picture has moved to the right since the start, in hundredths of a pixel, every KNOT_US."""
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
"""How far it has moved down."""
PAUSES_US = (75_000, 105_000, 190_000, 220_000)
"""Start and end of the pauses between the legs."""

DELAY_SPREADS_US = (1_000, 5_500, 5_500)
"""Largest delay or advance of each leg: the clock of the recordings was not that of the sensor."""
DURATIONS_US = (301_000, 315_000)
"""Shortest and longest recording."""

ORIGIN_PX = (13.85, 14.78)
"""Column and row of the sensor that see the centre of the image at the start."""
ORIGIN_SPREAD_PX = 0.05
SCALE = 1.027
"""Sensor pixels per pixel of the image."""
SCALE_SPREAD = 0.01
BLUR_PX = 0.606
"""Standard deviation of the spread of a point of the image, in sensor pixels."""
BLUR_SPREAD = 0.05
DISPLAY_GAMMA = 1.47
"""The luminance of a grey value from 0 to 1 is its power with this exponent."""
BLACK = 0.099
"""Luminance of the display's black relative to its white, including stray light."""
BLACK_SPREAD = 0.05

THRESHOLD = 0.350
"""Contrast threshold, the geometric mean of ON and OFF."""
THRESHOLD_SPREAD = 0.03
ON_OFF_RATIO = 1.005
"""ON threshold / OFF threshold."""
ON_OFF_SPREAD = 0.01
MISMATCH = 0.1
"""Standard deviation of the thresholds between pixels, relative to them."""
LOG_OFFSET = 1e-4
CUTOFF_HZ = 2366
REFRACTORY_S = 0.0014
LEAK_RATE_HZ = 0.36
LEAK_JITTER = 0.3
SHOT_NOISE_RATE_HZ = 0.06
"""In the dark; a quarter of it in the light of the background."""
