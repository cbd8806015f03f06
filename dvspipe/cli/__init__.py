"""Command line: one thin function per command, to parse options, run the stage, write reports and print results."""
