"""Regular expressions of settings that are text."""

NAME_PATTERN = r"^\w[\w.-]*$"
SIZE_PATTERN = r"^\d+x\d+$"
SENSOR_PATTERN = r"^(keep|\d+x\d+)$"
REGION_PATTERN = r"^\d+x\d+\+\d+\+\d+$"
ROI_PATTERN = r"^(auto|full|\d+x\d+[+-]\d+[+-]\d+)$"
TARGET_PATTERN = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"
