"""The array types of the metric store, and what a label set is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Labels = tuple[tuple[str, str], ...]
Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
