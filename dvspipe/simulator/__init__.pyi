from .calibration import Calibration as Calibration
from .calibration import calibrate_frames as calibrate_frames
from .config import SimulatorConfig as SimulatorConfig
from .simulator import EventSimulator as EventSimulator
from .simulator import SimulatorState as SimulatorState
from .simulator import simulate as simulate
from .upsampling import Factor as Factor
