"""Table 1 on this device: ``python benchmarks/table_1.py --device cuda --dtype bfloat16 --batch 1 4 9``.

Prints one JSON object: for each row images a second alone and in the best of the batches, and MiB, with random weights.
"""

import json

import pandas as pd
from comparison import parser, precision

from proxyclip.efficiency import TABLE1, table1
from proxyclip.system.provenance import device_line


def main() -> None:
    arguments = parser(__doc__, repeats=5)
    arguments.add_argument("--batch", type=int, nargs="+", default=[1, 4, 9, 16],
                           help="windows at a time; the best counts")
    arguments.add_argument("--rows", nargs="+", default=list(TABLE1), choices=list(TABLE1))
    arguments.add_argument("--size", type=int, default=336)
    options = arguments.parse_args()
    dtype = precision(options)
    tables = [table1(("ips", "memory"), options.device, rows=options.rows, size=options.size, repeats=options.repeats,
                     threads=options.threads, batch=batch, dtype=dtype) for batch in options.batch]
    found = tables[0][["ips", "memory_mib"]].copy()
    rates = {batch: table["ips_batched"] for batch, table in zip(options.batch, tables, strict=True)}
    batched = pd.concat(rates, axis=1)
    found["ips_best"], found["best_batch"] = batched.max(axis=1), batched.idxmax(axis=1)
    print(json.dumps({"device": device_line(), "dtype": str(dtype).removeprefix("torch."), "size": options.size,
                      "rows": found.round(3).to_dict("index")}, indent=2))


if __name__ == "__main__":
    main()
