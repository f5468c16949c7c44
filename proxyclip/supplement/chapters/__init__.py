"""The chapters' notebooks: how one runs, and which of its evaluations several machines can share."""
