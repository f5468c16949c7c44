"""The command line: one thin function for each ``proxyclip`` command."""
