"""Pages about how numbers are measured: all protocol cards, and what each setting is worth."""
