from .choice import choose_settings as choose_settings
from .config import OptimiserConfig as OptimiserConfig
from .config import TrainConfig as TrainConfig
from .evaluation import Evaluation as Evaluation
from .evaluation import evaluate_network as evaluate_network
from .run import RUNS as RUNS
from .run import choose_device as choose_device
