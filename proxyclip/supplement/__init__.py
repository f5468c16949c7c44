"""The supplement: its printed numbers, the chapters' records, claims, figures and tables."""
