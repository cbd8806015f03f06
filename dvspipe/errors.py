"""What can go wrong, as exceptions with messages made to be read by the person who typed the command."""


class DvspipeError(Exception):
    """Base of every error that a user can cause; the message says where, what was found and what was expected."""


class ConfigError(DvspipeError):
    """A setting is unknown, has a wrong value, or contradicts another."""


class EventError(DvspipeError):
    """Events break the rules of an event stream: order, range, or matching lengths.

    Args:
        message: What was found and expected.
        event: The number of the first event that breaks a rule, where one does.
    """

    def __init__(self, message: str, event: int | None = None) -> None:
        super().__init__(message)
        self.event = event


class FileError(DvspipeError):
    """A file is missing, exists already, or cannot be read or written."""


class FormatError(FileError):
    """The content of a file is not what its format requires."""


class VideoError(DvspipeError):
    """A video cannot be opened or decoded, or its frames do not fit together."""


class DataError(DvspipeError):
    """A data set is incomplete, contradicts itself, or does not fit the network."""


class CheckpointError(DvspipeError):
    """A file is not a dvspipe checkpoint, or not one that this version reads."""
