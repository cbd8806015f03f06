"""Recordings and videos as files: converted, checked and compared."""
