"""What made the shipped weights: scene cache, objectives, optimiser, trainer. Users never import it."""

import proxyclip  # noqa: F401  before timm, which imports torchvision (proxyclip._torchvision_schemas)
