"""Labelled video made on the machine: rendered people who gesture."""
