"""Classes of DVS128 Gesture, which the included networks and rendered people use."""

OTHER = "other_gestures"
"""Class of everything that is none of the gestures."""
GESTURES: tuple[str, ...] = (
    "hand_clapping",
    "right_hand_wave",
    "left_hand_wave",
    "right_arm_clockwise",
    "right_arm_counter_clockwise",
    "left_arm_clockwise",
    "left_arm_counter_clockwise",
    "arm_roll",
    "air_drums",
    "air_guitar",
    OTHER,
)
"""Classes of DVS128 Gesture (Amir et al. 2017) in IBM's order; the label is the index."""
