"""Command line: commands made from the functions of the rooms, and what they print."""
