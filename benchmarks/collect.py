"""Run the comparisons that chapter C shows and save what they print: ``python benchmarks/collect.py OUTPUT.json``.

Further arguments (``--device cuda``, ``--threads 1``) are passed on to each script.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from proxyclip.system.atomic import write_text

COMMANDS = {"image, DINO-B/8": ["image_speed.py"], "attention head, 4096 tokens": ["part_speed.py", "head"],
            "text, 80 prompts": ["part_speed.py", "text"], "SAM's encoder, 1024 px": ["part_speed.py", "sam"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    options, rest = parser.parse_known_args()
    found = {}
    for name, (script, *part) in COMMANDS.items():
        command = [sys.executable, str(Path(__file__).with_name(script)), *part, *rest]
        found[name] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        print(name, json.dumps(found[name], indent=2), flush=True)
    write_text(options.output, json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
