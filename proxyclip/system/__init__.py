"""The machine underneath: atomic files, parallel processes, provenance, clocks."""
