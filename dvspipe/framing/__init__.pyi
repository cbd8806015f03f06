from .config import FramingConfig as FramingConfig
from .config import RegionConfig as RegionConfig
from .fitting import scaled_size as scaled_size
from .opening import EventParts as EventParts
from .opening import EventSource as EventSource
from .opening import open_source as open_source
