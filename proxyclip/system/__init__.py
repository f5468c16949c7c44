"""Tools for the machine: atomic files, processes, provenance, timing."""
