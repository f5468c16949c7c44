"""Memory and time of labelling 847 classes at 512 x 683: ``python benchmarks/labelling_memory.py``.

Prints one JSON object: MiB beyond the inputs and seconds, a few rows at a time (package) and all at once (plain).
"""

import json

import torch
from comparison import compared, parser

from proxyclip.data import vocab
from proxyclip.inference.embedding import DenseEmbedding
from proxyclip.inference.labels import LOGIT_SCALE, labels_from_embedding
from proxyclip.inference.windows import Placement, window_boxes, window_padding, working_size
from proxyclip.text import TextEmbeddings


def embedding_of_ade(size: tuple[int, int], patch: int = 8, width: int = 512) -> DenseEmbedding:
    """Random unit embeddings in the shape that ADE847's protocol and a ViT-B/8 give an image of this size."""
    working = working_size(*size, 448)
    boxes = window_boxes(*working, 336, 112)
    windows = torch.randn(len(boxes), width, 336 // patch, 336 // patch, generator=torch.manual_seed(0))
    windows = torch.nn.functional.normalize(windows, dim=1)
    return DenseEmbedding(windows, Placement(boxes, window_padding(336, 336, 56, 336), working, size))


def main() -> None:
    arguments = parser(__doc__, repeats=1)
    arguments.add_argument("--size", type=int, nargs=2, default=(512, 683), metavar=("H", "W"))
    arguments.add_argument("--threshold", type=float)
    options = arguments.parse_args()
    vocabulary = vocab.load("ade847")
    rows = torch.randn(len(vocabulary.queries), 512, generator=torch.manual_seed(1))
    text = TextEmbeddings(vocabulary, torch.nn.functional.normalize(rows, dim=1))
    embedding = embedding_of_ade(tuple(options.size))

    def package() -> torch.Tensor:
        return labels_from_embedding(embedding, text, options.threshold).int()

    def plain() -> torch.Tensor:
        best, query = (LOGIT_SCALE * embedding.logits(text.embeddings)).softmax(dim=0).max(dim=0)
        labels = torch.tensor(vocabulary.class_of_query)[query].int()
        return labels if options.threshold is None else labels.masked_fill(best < options.threshold, 0)

    settings = {"classes": len(vocabulary), "size": list(options.size), "threshold": options.threshold}
    ways = {"package": package, "plain": plain}
    print(json.dumps(compared(ways, options, settings, memory=True, of=" of the class numbers"), indent=2))


if __name__ == "__main__":
    main()
