"""The command line: one thin function per command, which parses, calls the stage, calls the report and prints."""
