"""A trained classifier on disk, on the hub and in formats of other software, and those that come with dvspipe."""
