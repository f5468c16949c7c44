"""Tools for the machine: atomic files, parallel processes, provenance, timing."""
