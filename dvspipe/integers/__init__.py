"""Compile a trained classifier to integers, and to C code for microcontrollers."""
