"""The tiny world: a generated open-vocabulary world and small models of the paper's families trained on it."""
