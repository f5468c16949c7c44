"""What made the shipped weights: scene cache, objectives, optimiser, trainer. Users never import it."""
