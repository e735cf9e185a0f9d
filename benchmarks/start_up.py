"""How long `import twinrack` takes beyond numpy: the median over fresh interpreters, in an installed copy.

python benchmarks/start_up.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys

CODE = "import time, numpy; began = time.perf_counter(); import twinrack; print(time.perf_counter() - began)"


def main() -> None:
    took = [float(subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True).stdout) for _ in range(9)]
    print(f"import twinrack: {1000 * statistics.median(took):.0f} ms (median of {len(took)})")


if __name__ == "__main__":
    main()
