"""`python -m tests.proof [name ...]`: every long proof, or those whose names begin so,
each in its own process.
"""

import subprocess
import sys
from pathlib import Path


def main(words: list[str]) -> int:
    """Run the scripts one after the other; returns the first exit status that is not 0."""
    here = Path(__file__).parent
    status = 0
    for path in sorted(here.glob("proof_*.py")):
        if not words or any(path.stem.removeprefix("proof_").startswith(word) for word in words):
            print(f"== {path.stem}", flush=True)
            done = subprocess.run([sys.executable, str(path)], cwd=here.parent.parent, check=False)
            status = status or done.returncode
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
