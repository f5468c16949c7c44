"""The generated world: names, shapes, textures, objects, scenes, sets and captions."""
