"""Commands about scores that exist: compare them, score somebody's masks, list all results."""
