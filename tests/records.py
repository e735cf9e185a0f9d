"""Cases and results in a file that C++ reads as easily as Python: named arrays.

A line `case` begins a case. Each of its records is a line `name type lengths…` and then the numbers as they lie in memory
(little-endian): types are i32, f32, f64, and text, whose one length is in bytes. A case may have records that its reader
does not know.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

TYPES = {"i32": np.dtype("<i4"), "f32": np.dtype("<f4"), "f64": np.dtype("<f8")}
NAMES = {dtype: name for name, dtype in TYPES.items()}

Case = dict[str, str | np.ndarray]


def write(path: Path, cases: Iterable[Case]) -> None:
    with path.open("wb") as file:
        for case in cases:
            file.write(b"case\n")
            for name, value in case.items():
                if isinstance(value, str):
                    file.write(f"{name} text {len(value.encode())}\n".encode() + value.encode())
                else:
                    lengths = " ".join(str(n) for n in value.shape)
                    file.write(f"{name} {NAMES[value.dtype]} {lengths}\n".encode() + value.tobytes())


def read(path: Path) -> list[Case]:
    cases: list[Case] = []
    with path.open("rb") as file:
        while line := file.readline().decode().split():
            name, kind, shape = line[0], "".join(line[1:2]), [int(n) for n in line[2:]]
            if name == "case":
                cases.append({})
            elif kind == "text":
                cases[-1][name] = file.read(shape[0]).decode()
            else:
                dtype = TYPES[kind]
                cases[-1][name] = np.frombuffer(file.read(int(np.prod(shape)) * dtype.itemsize), dtype).reshape(shape)
    return cases
