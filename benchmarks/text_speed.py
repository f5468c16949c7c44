"""Text embeddings of a class list, the package against the plain implementation: ``python benchmarks/text_speed.py``.

Prints one JSON object: seconds per query with its 80 prompts, how many times as fast, and how far the results are
apart.
"""

import json

import torch
from comparison import compared, parser, precision
from plain import encode_queries

from proxyclip.data import vocab
from proxyclip.efficiency import untrained


def main() -> None:
    arguments = parser(__doc__, repeats=1)
    arguments.add_argument("--vocabulary", default="ade150", help="a class list of the package")
    arguments.add_argument("--queries", type=int, default=4, help="the first so many queries")
    options = arguments.parse_args()
    torch.manual_seed(0)
    clip = untrained(None, options.device, precision(options)).clip
    queries = vocab.load(options.vocabulary).queries[: options.queries]

    def package() -> torch.Tensor:
        clip.forget_queries()  # embeddings are kept; here they must be computed each time
        return clip.encode_queries(queries)

    def plain() -> torch.Tensor:
        return encode_queries(clip, queries)

    settings = {"queries": len(queries), "prompts": len(queries) * len(clip.templates)}
    report = compared({"package": package, "plain": plain}, options, settings, " per query", len(queries), warmup=0,
                      of=" of the embeddings")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
