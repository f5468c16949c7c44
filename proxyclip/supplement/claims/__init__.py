"""The claims of the supplement and the functions that judge them on records."""
